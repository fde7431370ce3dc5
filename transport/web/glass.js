/** The time from the camera's picture in this page to the processed picture on the screen. */

import { on } from "./dom.js";
import { CodeReader, since } from "./timecode.js";

const ROUND_MS = 1000;
/** Longer than this is a misread code. */
const LONGEST_MS = 5000;
/** A server that is slower than the camera leaves pictures out: then more of them get a code. */
const MOST_STAMPS = 8;
/** After so many rounds without a reading (a blurred code) most rounds are left out. */
const PATIENT_ROUNDS = 5;

/** Emits `measured` (CustomEvent<number>, milliseconds) about once a second. */
export class GlassMeter extends EventTarget {
  #video;
  #reader = new CodeReader();
  /** @type {import("./stamper.js").Stamper|null} */
  #stamper = null;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #ticking;
  #waiting = false;
  #stamps = 1;
  #missed = 0;

  /**
   * @param {import("./frames.js").FrameWatch} frames
   * @param {HTMLVideoElement} video What `frames` watches.
   */
  constructor(frames, video) {
    super();
    this.#video = video;
    if (!frames.precise) return;
    on(frames, "frame", (/** @type {import("./frames.js").Shown} */ { at }) => this.#look(at));
  }

  /** @param {import("./stamper.js").Stamper} stamper Stamps the pictures that are sent. */
  start(stamper) {
    this.stop();
    this.#stamper = stamper;
    this.#ticking = setInterval(() => this.#round(), ROUND_MS);
  }

  stop() {
    clearInterval(this.#ticking);
    this.#stamper = null;
    this.#waiting = false;
    this.#stamps = 1;
    this.#missed = 0;
  }

  #round() {
    if (document.hidden) return;
    if (this.#waiting) {
      this.#missed += 1;
      this.#stamps = Math.min(MOST_STAMPS, this.#stamps * 2);
    }
    this.#waiting = this.#missed <= PATIENT_ROUNDS || this.#missed % PATIENT_ROUNDS === 0;
    if (this.#waiting) this.#stamper?.stamp(this.#stamps);
    else this.#missed += 1;
  }

  /** @param {number} at When the picture in the video element was (to be) seen. */
  #look(at) {
    if (!this.#waiting) return;
    const value = this.#reader.read(this.#video);
    const ms = value === null ? Infinity : since(at, value);
    if (ms > LONGEST_MS) return;
    this.#waiting = false;
    this.#missed = 0;
    this.#stamps = Math.max(1, this.#stamps >> 1);
    this.dispatchEvent(new CustomEvent("measured", { detail: ms }));
  }
}
