/** The live figures: how well the picture arrives, and how fast a button acts. */

import { byId, el } from "./dom.js";
import { number, t } from "./i18n.js";
import { Tile } from "./tile.js";

/** Switch times remembered for the median. */
const SWITCHES = 50;

export class Panel {
  #fps = new Tile("fps", 30);
  #bitrate = new Tile("bitrate", 500);
  #rtt = new Tile("rtt", 20);
  #jitter = new Tile("jitter", 10);
  #freezes = new Tile("freezes");
  #lost = new Tile("lost");
  #switch = new Tile("switch");
  #note = el("dd", { class: "note" });
  /** @type {import("./latency.js").SwitchTime[]} */
  #switches = [];
  /** @type {import("./stats.js").LiveStats|null} */
  #stats = null;

  constructor() {
    this.#switch.root.classList.add("wide");
    this.#switch.root.append(this.#note);
    byId("tiles").append(...[this.#switch, ...this.#curves()].map(({ root }) => root));
    this.render();
  }

  /** @param {import("./stats.js").LiveStats} stats */
  show(stats) {
    this.#stats = stats;
    this.#fps.plot(stats.fps);
    this.#bitrate.plot(stats.kbps);
    this.#rtt.plot(stats.rttMs);
    this.#jitter.plot(stats.jitterMs);
    this.#write(stats);
  }

  /** @param {import("./stats.js").LiveStats} stats */
  #write(stats) {
    const { fps, kbps, rttMs, jitterMs, freezes, lost } = stats;
    this.#fps.set(fps, { digits: 1, unit: t("unit.fps") });
    const mega = kbps !== null && kbps >= 1000;
    this.#bitrate.set(kbps, mega ? { digits: 2, unit: "Mbit/s", scale: 1000 } : { unit: "kbit/s" });
    this.#rtt.set(rttMs, { digits: rttMs !== null && rttMs < 10 ? 1 : 0, unit: t("unit.ms") });
    this.#jitter.set(jitterMs, { digits: 1, unit: t("unit.ms") });
    this.#freezes.set(freezes);
    this.#lost.set(lost);
  }

  /** @param {import("./latency.js").SwitchTime} time */
  showSwitch(time) {
    this.#switches.push(time);
    if (this.#switches.length > SWITCHES) this.#switches.shift();
    this.#showSwitches();
  }

  /** Another connection: its figures begin anew, the switch times stay. */
  clear() {
    this.#stats = null;
    for (const tile of this.#curves()) tile.clear();
  }

  /** Writes everything in the page's language. */
  render() {
    for (const tile of [this.#switch, ...this.#curves()]) tile.render();
    if (this.#stats) this.#write(this.#stats);
    this.#showSwitches();
  }

  #showSwitches() {
    const last = this.#switches.at(-1);
    this.#switch.set(last ? last.ms : null, { unit: t("unit.ms") });
    if (!last) {
      this.#note.textContent = t("metric.switch.none");
      return;
    }
    const times = this.#switches.map(({ ms }) => ms).sort((a, b) => a - b);
    const median = { count: times.length, ms: number(times[times.length >> 1]) };
    const how = t(last.exact ? "metric.switch.exact" : "metric.switch.estimate");
    this.#note.textContent = `${t("metric.switch.median", median)}\n${how}`;
  }

  #curves() {
    return [this.#fps, this.#bitrate, this.#rtt, this.#jitter, this.#freezes, this.#lost];
  }
}
