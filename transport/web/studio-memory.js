/** Memory over time, one plot for each device; asked for only while it is seen. */

import { byId, el, say, svg } from "./dom.js";
import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { size } from "./studio-format.js";
import { problemWords } from "./studio-parts.js";

const EVERY_MS = 2000;
/** How much of the past is shown. */
const SPAN_S = 300;
const WIDTH = 600;
const HEIGHT = 120;

/** @typedef {import("./studio-api.js").DeviceMemory} DeviceMemory */
/** @typedef {{time: number, used: number}} Sample */

export class MemoryPlots {
  #api;
  #root = byId("memory");
  /** @type {import("./studio-api.js").Memory|null} */
  #memory = null;
  /** @type {Map<string, Plot>} */
  #plots = new Map();
  #shown = false;
  #visible = !document.hidden;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #timer;
  #asking = false;

  /** @param {import("./studio-api.js").StudioApi} api */
  constructor(api) {
    this.#api = api;
  }

  /** @param {boolean} shown Whether the view is the open one. */
  set shown(shown) {
    this.#shown = shown;
    this.#run();
  }

  /** @param {boolean} visible Whether the page is. */
  set visible(visible) {
    this.#visible = visible;
    this.#run();
  }

  /** Whether it asks the server again and again. */
  get running() {
    return this.#timer !== undefined;
  }

  /** Writes everything in the page's language. */
  render() {
    const { devices = [], history = [] } = this.#memory ?? {};
    for (const device of devices) {
      const plot = this.#plots.get(device.device) ?? this.#add(device.device);
      plot.show(
        device,
        history.filter((sample) => sample.device === device.device),
      );
    }
    for (const [name, plot] of this.#plots) {
      if (devices.some(({ device }) => device === name)) continue;
      plot.root.remove();
      this.#plots.delete(name);
    }
  }

  #run() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (!this.#shown || !this.#visible) return;
    this.#timer = setInterval(() => this.#ask(), EVERY_MS);
    void this.#ask();
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.#memory = await this.#api.memory();
      say(byId("memory-hint"), this.#memory.devices.length ? "" : t("memory.none"));
      this.render();
    } catch (error) {
      say(byId("memory-hint"), problemWords(Problem.from(error)));
    } finally {
      this.#asking = false;
    }
  }

  /** @param {string} name */
  #add(name) {
    const plot = new Plot(name);
    this.#plots.set(name, plot);
    this.#root.append(plot.root);
    return plot;
  }
}

class Plot {
  #title = el("h3");
  #figure = el("p", { class: "figure" });
  #fill = svg("path", { class: "fill" });
  #line = svg("path", { class: "line" });
  #budget = svg("line", { class: "budget", x1: "0", x2: String(WIDTH) });
  #picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    this.#fill,
    this.#line,
    this.#budget,
  );
  #key = el("p", { class: "note" });
  #models = el("ul", { class: "held" });
  root;

  /** @param {string} name Of the device. */
  constructor(name) {
    this.root = el(
      "section",
      { class: "plot", "data-testid": `memory-${name}` },
      el("div", { class: "top" }, this.#title, this.#figure),
      this.#picture,
      this.#key,
      this.#models,
    );
  }

  /**
   * @param {DeviceMemory} device
   * @param {Sample[]} samples
   */
  show(device, samples) {
    const { device: name, used, budget, total, reserved, models } = device;
    this.#title.textContent = name === "cpu" ? t("memory.ram") : name.toUpperCase();
    this.#figure.textContent = t("memory.used", { used: size(used), total: size(total) });
    const said = { used: size(used), budget: size(budget), total: size(total) };
    this.#picture.setAttribute("aria-label", t("memory.plot", said));
    const parts = [t("memory.budget", { budget: size(budget) })];
    if (reserved) parts.push(t("memory.reserved", { reserved: size(reserved) }));
    parts.push(t("memory.span", { minutes: SPAN_S / 60 }));
    this.#key.textContent = parts.join(" · ");
    this.#draw(samples, used, budget, total);
    this.#models.replaceChildren(...models.map((model) => held(model)));
  }

  /**
   * @param {Sample[]} samples
   * @param {number} used
   * @param {number} budget
   * @param {number} total
   */
  #draw(samples, used, budget, total) {
    // A budget far below all memory would leave the curve at the floor.
    const most = Math.max(budget * 1.15, used * 1.1, ...samples.map((one) => one.used * 1.1), 1);
    const top = Math.min(most, Math.max(total, used));
    const end = samples.at(-1)?.time ?? 0;
    const recent = samples.filter(({ time }) => time >= end - SPAN_S);
    const points = recent.map((sample) => {
      const x = WIDTH * (1 - (end - sample.time) / SPAN_S);
      return `${x.toFixed(1)} ${(HEIGHT * (1 - sample.used / top)).toFixed(1)}`;
    });
    const line = points.length > 1 ? `M${points.join("L")}` : "";
    this.#line.setAttribute("d", line);
    const left = points[0]?.split(" ")[0] ?? "0";
    this.#fill.setAttribute("d", line && `${line}L${WIDTH} ${HEIGHT}L${left} ${HEIGHT}Z`);
    const y = (HEIGHT * (1 - budget / top)).toFixed(1);
    this.#budget.setAttribute("y1", y);
    this.#budget.setAttribute("y2", y);
  }
}

/** @param {DeviceMemory["models"][number]} model */
function held({ key, bytes, pinned, in_use: busy }) {
  const signs = [
    ...(pinned ? [t("memory.pinned")] : []),
    ...(busy ? [t("memory.busy")] : []),
  ];
  const note = [size(bytes), ...signs].join(" · ");
  return el("li", {}, el("span", { class: "name", title: key }, key), el("span", { class: "note" }, note));
}
