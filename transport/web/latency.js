/** The time from pressing a button to the first picture of the new state on the screen. */

import { reached } from "./frames.js";

/** After this long an unanswered press is forgotten. */
const PATIENCE_MS = 5000;

/**
 * @typedef {object} SwitchTime
 * @property {number} ms
 * @property {boolean} exact Whether the very picture was recognised by its RTP timestamp.
 */

/**
 * Emits `measured` (CustomEvent<SwitchTime>). All times are on the clock of `performance.now()`.
 */
export class SwitchTimer extends EventTarget {
  /** @type {{state: string, at: number, rtp: number|null, announcedAt: number|null}|null} */
  #waiting = null;

  /** @param {import("./frames.js").FrameWatch} frames */
  constructor(frames) {
    super();
    this.frames = frames;
    frames.addEventListener("frame", (event) =>
      this.#frame(/** @type {CustomEvent} */ (event).detail),
    );
  }

  /**
   * @param {string} state The state asked for.
   * @param {number} at When the button was pressed.
   */
  pressed(state, at) {
    this.#waiting = { state, at, rtp: null, announcedAt: null };
  }

  /** Whatever was asked for will not come. */
  cancel() {
    this.#waiting = null;
  }

  /**
   * The server says which picture begins the new state.
   * @param {string} state
   * @param {number|undefined} rtp That picture's RTP timestamp.
   * @param {number} now
   * @param {number} bufferMs What a picture waits in the browser, for the estimate.
   */
  announced(state, rtp, now, bufferMs) {
    const waiting = this.#waiting;
    if (!waiting || waiting.state !== state) return;
    if (now - waiting.at > PATIENCE_MS) {
      this.#waiting = null;
      return;
    }
    waiting.rtp = rtp ?? null;
    waiting.announcedAt = now;
    // The picture may have overtaken the announcement.
    const shown = rtp === undefined ? undefined : this.frames.firstFrom(rtp, waiting.at);
    if (shown) this.#done(shown.at, true);
    else if (!this.frames.precise) this.#done(now + bufferMs, false);
  }

  /** @param {import("./frames.js").Shown} shown */
  #frame(shown) {
    const waiting = this.#waiting;
    if (!waiting || waiting.announcedAt === null) return;
    if (waiting.rtp !== null && shown.rtp !== null) {
      if (reached(shown.rtp, waiting.rtp)) this.#done(shown.at, true);
    } else if (shown.at >= waiting.announcedAt) {
      this.#done(shown.at, false);
    }
  }

  /**
   * @param {number} at
   * @param {boolean} exact
   */
  #done(at, exact) {
    const ms = at - /** @type {{at: number}} */ (this.#waiting).at;
    this.#waiting = null;
    this.dispatchEvent(new CustomEvent("measured", { detail: { ms, exact } }));
  }
}
