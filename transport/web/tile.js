/** One live figure: its name, its value with a unit, and a curve of the last values. */

import { el } from "./dom.js";
import { number, t } from "./i18n.js";
import { Sparkline } from "./sparkline.js";

export class Tile {
  #value;
  #unit = el("small");
  #label = el("dt");
  #key;
  #spark;
  root;

  /**
   * @param {string} key
   * @param {number|null} floor For the curve; null for none.
   */
  constructor(key, floor = null) {
    this.#key = key;
    this.#value = el("span", { "data-testid": `metric-${key}`, class: "empty" }, "–");
    this.#spark = floor === null ? null : new Sparkline(floor);
    this.root = el("div", { class: "tile" }, this.#label, el("dd", {}, this.#value, this.#unit));
    if (this.#spark) this.root.append(this.#spark.root);
  }

  /**
   * @param {number|null} value Null where it isn't known.
   * @param {{digits?: number, unit?: string, scale?: number}} [format] The value is shown divided
   *   by `scale`; the attribute `data-value` keeps it as it is.
   */
  set(value, { digits = 0, unit = "", scale = 1 } = {}) {
    const empty = value === null;
    this.#value.textContent = empty ? "–" : number(value / scale, digits);
    this.#value.classList.toggle("empty", empty);
    this.#value.dataset.value = empty ? "" : String(value);
    this.#unit.textContent = empty ? "" : unit;
  }

  /** @param {number|null} value The curve's next point. */
  plot(value) {
    if (value !== null) this.#spark?.push(value);
  }

  clear() {
    this.set(null);
    this.#spark?.clear();
  }

  render() {
    this.#label.textContent = t(`metric.${this.#key}`);
  }
}
