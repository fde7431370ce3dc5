/** The two pictures side by side, and what is said over them. */

import { byId, say } from "./dom.js";
import { t } from "./i18n.js";
import { Notice } from "./notice.js";
import { Picture } from "./picture.js";
import { Problem } from "./problem.js";
import { visibleRatio } from "./timecode.js";

/** What the page calls the phases of a session here. */
const STATES = /** @type {const} */ ({
  idle: "idle",
  connecting: "starting",
  connected: "live",
  reconnecting: "reconnecting",
  failed: "failed",
});

export class CameraStage {
  #ownRoot = byId("camera-own-stage");
  #root = byId("camera-stage");
  #status = byId("camera-status");
  #notice = new Notice("camera-notice", this.#root);
  #own = new Picture(this.#ownRoot, byId("camera-own"), byId("camera-own-kept"));
  processed = new Picture(this.#root, byId("camera-processed"), byId("camera-kept"));
  /** @type {import("./session.js").Phase} */
  #phase = "idle";

  constructor() {
    byId("camera-fullscreen").addEventListener("click", () => this.processed.toggleFullscreen());
    for (const [{ video }, root] of /** @type {const} */ ([
      [this.#own, this.#ownRoot],
      [this.processed, this.#root],
    ])) {
      video.addEventListener("resize", () => fit(root, video));
    }
    this.#ownRoot.dataset.phase = "idle";
  }

  /** @param {MediaStream|null} stream The camera's; null when it is off. */
  showOwn(stream) {
    this.#ownRoot.dataset.phase = stream ? "connected" : "idle";
    if (stream) this.#own.play(stream);
    else this.#own.clear();
  }

  /** @param {MediaStream} stream The processed one. */
  async play(stream) {
    if (!(await this.processed.play(stream))) this.#askForClick();
  }

  /** Phones pause videos in pages that are put away. */
  async resume() {
    this.#own.resume();
    if (!(await this.processed.resume())) this.#askForClick();
  }

  /**
   * @param {import("./session.js").Phase} phase
   * @param {Problem|null} problem
   * @param {number|null} retryAt
   * @param {{start: () => void, retry: () => void}} remedies What the notice's button does.
   */
  show(phase, problem, retryAt, { start, retry }) {
    this.#phase = phase;
    this.#root.dataset.phase = phase;
    this.#status.dataset.state = STATES[phase];
    say(this.#status, t(`camera.state.${STATES[phase]}`));
    if (!problem) {
      if (phase !== "connected") this.#notice.hide();
      else if (this.#notice.shape === "cover") this.#notice.hide();
    } else if (phase === "failed") {
      this.#notice.show(problem, { shape: "cover", action: "action.again", onAction: start });
    } else {
      const button = { action: "action.retryNow", onAction: retry };
      this.#notice.show(problem, { shape: "cover", ...button, retryAt, retrying: true });
    }
  }

  /** @param {Problem} problem One that doesn't touch the picture. */
  slip(problem) {
    if (this.#phase !== "connected") return;
    const onAction = () => this.#notice.hide();
    this.#notice.show(problem, { shape: "strip", action: "action.dismiss", onAction });
  }

  /** What failed before has worked now. */
  clearSlip() {
    if (this.#notice.shape === "strip") this.#notice.hide();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#notice.render();
  }

  #askForClick() {
    const onAction = async () => {
      if (await this.processed.resume()) this.#notice.hide();
    };
    const options = { action: "action.play", onAction };
    this.#notice.show(new Problem("AutoplayBlocked"), { shape: "cover", ...options });
  }
}

/**
 * Gives the picture's frame its shape; the edge with the time code is left out.
 * @param {HTMLElement} root
 * @param {HTMLVideoElement} video
 */
function fit(root, { videoWidth, videoHeight }) {
  if (!videoWidth) return;
  root.style.setProperty("--ratio", visibleRatio(videoWidth, videoHeight).toFixed(4));
}
