/** Which camera, and how large its picture. */

import { listCameras } from "./camera.js";
import { byId, el } from "./dom.js";
import { t } from "./i18n.js";

const SIZES = ["640x480", "1280x720", "1920x1080"];

/** Emits `change` when the user chose something else. */
export class CameraChooser extends EventTarget {
  #device = /** @type {HTMLSelectElement} */ (byId("camera-device"));
  #size = /** @type {HTMLSelectElement} */ (byId("camera-size"));
  /** @type {MediaDeviceInfo[]} */
  #cameras = [];

  constructor() {
    super();
    for (const size of SIZES) {
      this.#size.append(el("option", { value: size }, size.replace("x", " × ")));
    }
    for (const select of [this.#device, this.#size]) {
      select.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    }
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.refresh());
    this.refresh();
  }

  /** @returns {import("./camera.js").CameraWish} */
  get wish() {
    const [width, height] = this.#size.value.split("x").map(Number);
    return { deviceId: this.#device.value, width, height };
  }

  /** @param {string} [current] The camera in use. */
  async refresh(current = this.#device.value) {
    this.#cameras = await listCameras();
    this.render();
    this.#device.value = this.#cameras.some(({ deviceId }) => deviceId === current) ? current : "";
  }

  /** Writes everything in the page's language. */
  render() {
    const chosen = this.#device.value;
    const options = this.#cameras.map(({ deviceId, label }, index) =>
      el("option", { value: deviceId }, label || t("camera.nth", { n: index + 1 })),
    );
    this.#device.replaceChildren(el("option", { value: "" }, t("camera.default")), ...options);
    this.#device.value = chosen;
  }
}
