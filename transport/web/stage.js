/** The stage: the picture, the poster before it, and what is said over them. */

import { statusText } from "./avatars.js";
import { byId, el, say } from "./dom.js";
import { Picture } from "./picture.js";

export class Stage {
  #root = byId("stage");
  #poster = /** @type {HTMLImageElement} */ (byId("poster"));
  #backdrop = /** @type {HTMLImageElement} */ (byId("backdrop"));
  #status = byId("status");
  picture = new Picture(this.#root, byId("video"), byId("kept"));

  constructor() {
    byId("fullscreen").addEventListener("click", () => this.picture.toggleFullscreen());
  }

  /**
   * @param {import("./session.js").Phase} phase
   * @param {string} text The status in words.
   */
  setPhase(phase, text) {
    this.#root.dataset.phase = phase;
    this.#status.dataset.state = phase;
    say(this.#status, text);
  }

  /**
   * @param {import("./api.js").Avatar|undefined} avatar
   * @param {string|undefined} posterUrl
   */
  showAvatar(avatar, posterUrl) {
    for (const image of [this.#poster, this.#backdrop]) {
      image.hidden = !posterUrl;
      if (posterUrl && image.getAttribute("src") !== posterUrl) image.src = posterUrl;
    }
    const title = byId("title");
    title.textContent = avatar?.name ?? "";
    if (avatar) title.append(el("small", {}, statusText(avatar)));
  }

  /** @param {string} text e.g. `H264 · 512 × 512`; empty for none. */
  showFormat(text) {
    say(byId("format"), text);
  }

  clear() {
    this.picture.clear();
    this.showFormat("");
  }
}
