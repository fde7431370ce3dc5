/** How loud the received sound is, whether or not it can be heard here. */

import { byId } from "./dom.js";

const POLL_MS = 150;
/** What the bar shows as nothing. */
const SILENCE_DB = -54;

export class SoundLevel {
  #bar = byId("sound-level");
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #ticking;
  #energy = 0;
  #seconds = 0;

  /** @param {() => Promise<RTCStatsReport|null>} read Statistics of the sound. */
  start(read) {
    this.stop();
    this.#energy = 0;
    this.#seconds = 0;
    this.#ticking = setInterval(async () => this.#measure(await read()), POLL_MS);
  }

  stop() {
    clearInterval(this.#ticking);
    this.#show(0);
  }

  /** @param {RTCStatsReport|null} report */
  #measure(report) {
    const sound = [...(report?.values() ?? [])].find(({ type }) => type === "inbound-rtp");
    const { totalAudioEnergy = 0, totalSamplesDuration = 0 } = sound ?? {};
    const seconds = totalSamplesDuration - this.#seconds;
    // Energy is the square of the level times its duration (W3C webrtc-stats); the level is the
    // root mean square or, in Chromium, the peak.
    const square = seconds > 0 ? (totalAudioEnergy - this.#energy) / seconds : 0;
    this.#energy = totalAudioEnergy;
    this.#seconds = totalSamplesDuration;
    this.#show(Math.sqrt(Math.max(0, square)));
  }

  /** @param {number} level 0 to 1. */
  #show(level) {
    const share = level ? 1 - (20 * Math.log10(level)) / SILENCE_DB : 0;
    this.#bar.dataset.level = level.toFixed(4);
    this.#bar.style.setProperty("--level", String(Math.min(1, Math.max(0, share))));
  }
}
