/** When each picture was put on the screen, and which one it was. */

/** Enough pictures to look back over the time that a data-channel event may lag behind. */
const REMEMBERED = 120;

/**
 * @typedef {object} Shown
 * @property {number} at When it was (to be) seen, on the clock of `performance.now()`.
 * @property {number|null} rtp Its RTP timestamp, where the browser tells.
 */

/**
 * Emits `frame` (CustomEvent<Shown>) for every picture shown. Where the browser has no
 * `requestVideoFrameCallback`, only for the first picture of a stream and without timestamps.
 */
export class FrameWatch extends EventTarget {
  /** @type {Shown[]} */
  #recent = [];
  #meanGap = 0;

  /** Freezes since `reset`, for browsers that don't count them. */
  freezes = 0;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    super();
    /** Whether single pictures are seen at all. */
    this.precise = "requestVideoFrameCallback" in video;
    if (this.precise) {
      /** @type {VideoFrameRequestCallback} */
      const next = (_now, meta) => {
        this.#note(Math.max(meta.presentationTime, meta.expectedDisplayTime), meta.rtpTimestamp);
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    } else {
      /** @type {HTMLVideoElement} */ (video).addEventListener("playing", () =>
        this.#note(performance.now(), undefined),
      );
    }
  }

  /** Forgets everything: another stream begins. */
  reset() {
    this.#recent = [];
    this.#meanGap = 0;
    this.freezes = 0;
  }

  /**
   * The first remembered picture with this RTP timestamp or a later one.
   * @param {number} rtp
   * @param {number} since Pictures shown before this moment don't count.
   * @returns {Shown|undefined}
   */
  firstFrom(rtp, since) {
    return this.#recent.find(
      (shown) => shown.at >= since && shown.rtp !== null && reached(shown.rtp, rtp),
    );
  }

  /**
   * @param {number} at
   * @param {number|undefined} rtp
   */
  #note(at, rtp) {
    const last = this.#recent.at(-1);
    if (last) this.#countFreeze(at - last.at);
    const shown = { at, rtp: rtp ?? null };
    this.#recent.push(shown);
    if (this.#recent.length > REMEMBERED) this.#recent.shift();
    this.dispatchEvent(new CustomEvent("frame", { detail: shown }));
  }

  /**
   * A freeze as the W3C statistics define it: a gap of three mean gaps or the mean and 150 ms.
   * @param {number} gap
   */
  #countFreeze(gap) {
    if (this.#meanGap && gap > Math.max(3 * this.#meanGap, this.#meanGap + 150)) {
      if (!document.hidden) this.freezes += 1;
      return;
    }
    this.#meanGap = this.#meanGap ? this.#meanGap * 0.95 + gap * 0.05 : gap;
  }
}

/**
 * Whether RTP timestamp `a` is `b` or later, on the circle of 2^32.
 * @param {number} a
 * @param {number} b
 * @returns {boolean}
 */
export function reached(a, b) {
  return (a - b) >>> 0 < 2 ** 31;
}
