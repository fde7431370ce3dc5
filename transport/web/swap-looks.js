/** How the face swap looks and who is swapped: sliders, a box to tick and a choice. */

import { byId } from "./dom.js";
import { number, t } from "./i18n.js";

/** Sliders count in percent of what the server's settings of these names count in. */
const SLIDERS = /** @type {const} */ (["opacity", "grow", "feather"]);

/** @typedef {import("./api.js").SwapSettings} SwapSettings */

/**
 * Emits `change` when the user set something. What was left alone is the server's business: it is
 * shown as it is there, and not sent.
 */
export class SwapLooks extends EventTarget {
  #root = byId("swap-looks");
  #mouth = /** @type {HTMLInputElement} */ (byId("swap-mouth"));
  #who = /** @type {HTMLSelectElement} */ (byId("swap-who"));
  /** What the user set. @type {Partial<SwapSettings>} */
  #set = {};

  constructor() {
    super();
    for (const name of SLIDERS) {
      slider(name).addEventListener("input", () => {
        this.#change({ [name]: slider(name).valueAsNumber / 100 });
      });
    }
    this.#mouth.addEventListener("change", () => this.#change({ keep_mouth: this.#mouth.checked }));
    this.#who.addEventListener("change", () => this.#change(this.#selection()));
  }

  /** What the user set, by the names of the server's settings. @returns {Partial<SwapSettings>} */
  get values() {
    return { ...this.#set };
  }

  /** @param {boolean} shown */
  set shown(shown) {
    this.#root.hidden = !shown;
  }

  /** Several faces are of no use to one person: each gets one, unless the user chose otherwise. */
  forSeveral() {
    if ("selection" in this.#set) return;
    this.#who.value = "left_to_right";
    this.#set = { ...this.#set, ...this.#selection() };
  }

  /** @param {SwapSettings} settings As the server has them. */
  showServers(settings) {
    for (const name of SLIDERS) {
      if (!(name in this.#set)) slider(name).valueAsNumber = 100 * settings[name];
    }
    if (!("selection" in this.#set)) this.#who.value = settings.selection;
    // Left open, the mouth is kept by the backend that has no speaking one to offer.
    if (!("keep_mouth" in this.#set)) {
      this.#mouth.checked = settings.keep_mouth ?? settings.model === "warp";
    }
    this.render();
  }

  /** Writes everything in the page's language. */
  render() {
    for (const name of SLIDERS) {
      const text = t("swap.percent", { value: number(slider(name).valueAsNumber) });
      slider(name).setAttribute("aria-valuetext", text);
      byId(`swap-${name}-value`).textContent = text;
    }
  }

  #selection() {
    return { selection: /** @type {SwapSettings["selection"]} */ (this.#who.value) };
  }

  /** @param {Partial<SwapSettings>} values */
  #change(values) {
    this.#set = { ...this.#set, ...values };
    this.render();
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @param {typeof SLIDERS[number]} name
 * @returns {HTMLInputElement}
 */
function slider(name) {
  return byId(`swap-${name}`);
}
