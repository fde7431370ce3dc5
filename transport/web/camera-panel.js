/** The live figures of the camera: how long it takes there and back, and how evenly it runs. */

import { byId, el } from "./dom.js";
import { number, t } from "./i18n.js";
import { Tile } from "./tile.js";

/** Readings remembered for the median. */
const READINGS = 30;
/** Without a reading for this long the estimate is shown. */
const STALE_MS = 6000;

export class CameraPanel {
  #latency = new Tile("camera-latency");
  #camera = new Tile("camera-fps", 30);
  #processing = new Tile("camera-processing", 30);
  #returned = new Tile("camera-returned", 30);
  #server = new Tile("camera-server", 50);
  #trip = new Tile("camera-rtt", 20);
  #drops = new Tile("camera-drops");
  #note = el("dd", { class: "note" });
  /** @type {number[]} */
  #readings = [];
  #readAt = -Infinity;
  /** @type {number|null} */
  #estimate = null;
  /** @type {import("./camera-link.js").Figures|null} */
  #figures = null;
  /** @type {import("./stats.js").LiveStats|null} */
  #stats = null;

  constructor() {
    this.#latency.root.classList.add("wide");
    this.#latency.root.append(this.#note);
    byId("camera-tiles").append(...this.#tiles().map(({ root }) => root));
  }

  /** @param {import("./stats.js").LiveStats} stats Of the picture that comes back. */
  showStats(stats) {
    this.#stats = stats;
    this.#returned.plot(stats.fps);
    this.#write();
  }

  /** @param {import("./camera-link.js").Figures} figures */
  showFigures(figures) {
    this.#figures = figures;
    this.#camera.plot(figures.up.fps);
    this.#processing.plot(figures.pipeline.process_fps);
    this.#server.plot(serverMs(figures));
    this.#trip.plot(figures.up.rttMs);
    this.#estimate = this.#addUp(figures);
    this.#write();
  }

  /** @param {number} ms From the camera's picture to the one on the screen, as measured. */
  showLatency(ms) {
    this.#readings.push(ms);
    if (this.#readings.length > READINGS) this.#readings.shift();
    this.#readAt = performance.now();
    this.#write();
  }

  clear() {
    this.#readings = [];
    this.#readAt = -Infinity;
    this.#estimate = null;
    this.#figures = null;
    this.#stats = null;
    for (const tile of this.#tiles()) tile.clear();
    this.#writeNote();
  }

  /** Writes everything in the page's language. */
  render() {
    for (const tile of this.#tiles()) tile.render();
    this.#write();
  }

  #tiles() {
    const rates = [this.#camera, this.#processing, this.#returned];
    return [this.#latency, ...rates, this.#server, this.#trip, this.#drops];
  }

  #write() {
    const rate = { digits: 1, unit: t("unit.fps") };
    const time = { unit: t("unit.ms") };
    const figures = this.#figures;
    const latency = this.#exact ? (this.#readings.at(-1) ?? null) : this.#estimate;
    this.#latency.set(latency, time);
    this.#camera.set(figures?.up.fps ?? null, rate);
    this.#processing.set(figures?.pipeline.process_fps ?? null, rate);
    this.#returned.set(this.#stats?.fps ?? null, rate);
    this.#server.set(figures && serverMs(figures), time);
    const trip = figures?.up.rttMs ?? null;
    this.#trip.set(trip, { digits: trip !== null && trip < 10 ? 1 : 0, ...time });
    const dropped = Object.values(figures?.pipeline.dropped ?? {});
    this.#drops.set(figures ? dropped.reduce((sum, count) => sum + count, 0) : null);
    this.#writeNote();
  }

  #writeNote() {
    const lines = [];
    if (this.#exact) {
      const ordered = [...this.#readings].sort((a, b) => a - b);
      const median = { count: ordered.length, ms: number(ordered[ordered.length >> 1]) };
      lines.push(t("metric.camera-latency.median", median), t("metric.camera-latency.exact"));
    } else {
      lines.push(t(`metric.camera-latency.${this.#estimate === null ? "none" : "estimate"}`));
    }
    const text = lines.join("\n");
    if (this.#note.textContent !== text) this.#note.textContent = text;
  }

  get #exact() {
    return performance.now() - this.#readAt < STALE_MS;
  }

  /**
   * What is known of the way there and back, where the picture itself cannot be asked.
   * @param {import("./camera-link.js").Figures} figures
   */
  #addUp(figures) {
    const { up } = figures;
    return up.encodeMs + (up.rttMs ?? 0) + serverMs(figures) + (this.#stats?.bufferMs ?? 0);
  }
}

/** @param {import("./camera-link.js").Figures} figures */
function serverMs({ pipeline }) {
  return pipeline.latency.end_to_end?.p50_ms ?? 0;
}
