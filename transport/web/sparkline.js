/** A small curve of the last values. */

import { svg } from "./dom.js";

const POINTS = 60;
const WIDTH = 120;
const HEIGHT = 26;

export class Sparkline {
  /** @type {number[]} */
  #values = [];
  #line = svg("path");
  #fill = svg("path", { class: "fill" });
  root = svg(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    this.#fill,
    this.#line,
  );

  /** @param {number} floor The curve's top shows at least this value, so that noise stays small. */
  constructor(floor) {
    this.floor = floor;
  }

  /** @param {number} value Zero or more. */
  push(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    this.#draw();
  }

  clear() {
    this.#values = [];
    this.#draw();
  }

  #draw() {
    const top = Math.max(this.floor, ...this.#values) * 1.08;
    const step = WIDTH / (POINTS - 1);
    const first = WIDTH - (this.#values.length - 1) * step;
    const points = this.#values.map(
      (value, i) => `${(first + i * step).toFixed(1)} ${(HEIGHT * (1 - value / top)).toFixed(1)}`,
    );
    const line = points.length > 1 ? `M${points.join("L")}` : "";
    this.#line.setAttribute("d", line);
    const corners = `L${WIDTH} ${HEIGHT}L${first.toFixed(1)} ${HEIGHT}Z`;
    this.#fill.setAttribute("d", line && line + corners);
  }
}
