/** The stage: the picture, the poster before it, the last picture kept while reconnecting. */

import { statusText } from "./avatars.js";
import { byId, el, say } from "./dom.js";

export class Stage {
  #root = byId("stage");
  #poster = /** @type {HTMLImageElement} */ (byId("poster"));
  #backdrop = /** @type {HTMLImageElement} */ (byId("backdrop"));
  #kept = /** @type {HTMLCanvasElement} */ (byId("kept"));
  #status = byId("status");
  video = /** @type {HTMLVideoElement} */ (byId("video"));

  constructor() {
    // Safari starts videos by itself only when these are set as properties too.
    this.video.muted = true;
    this.video.playsInline = true;
    byId("fullscreen").addEventListener("click", () => this.toggleFullscreen());
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

  /**
   * @param {MediaStream} stream
   * @returns {Promise<boolean>} False when the browser wants a click before it plays.
   */
  async play(stream) {
    this.video.srcObject = stream;
    return this.resume();
  }

  /**
   * @returns {Promise<boolean>} False when the browser wants a click before it plays.
   */
  async resume() {
    if (!this.video.srcObject) return true;
    try {
      await this.video.play();
      return true;
    } catch (error) {
      // AbortError: another stream took this one's place.
      return !(error instanceof DOMException && error.name === "NotAllowedError");
    }
  }

  /** Keeps the picture that is on the screen: browsers drop it when the stream closes. */
  keepPicture() {
    const { videoWidth, videoHeight } = this.video;
    // Only the first time: after that the element shows nothing any more.
    if (!videoWidth || !this.#kept.hidden) return;
    this.#kept.width = videoWidth;
    this.#kept.height = videoHeight;
    this.#kept.getContext("2d")?.drawImage(this.video, 0, 0);
    this.#kept.hidden = false;
    this.#root.dataset.picture = "kept";
  }

  dropKept() {
    this.#kept.hidden = true;
    delete this.#root.dataset.picture;
  }

  clear() {
    this.video.srcObject = null;
    this.dropKept();
    this.showFormat("");
  }

  toggleFullscreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (this.#root.requestFullscreen) return this.#root.requestFullscreen();
    // iPhones put only the video itself on the full screen.
    const phone = /** @type {{webkitEnterFullscreen?: () => void}} */ (this.video);
    return phone.webkitEnterFullscreen?.();
  }
}
