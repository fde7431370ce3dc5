/** The points on a picture: added by clicks or by the keyboard, removed by a click on them. */

import { svg } from "./dom.js";

/** How near a click has to be to a point to remove it, in pixels of the screen. */
const NEAR = 12;
const KEY_STEPS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});
/** How far a key moves the cross, as a share of the picture; and with the shift key. */
const STEP = 0.01;
const LEAP = 0.1;

/** @typedef {import("./studio-points.js").Point} Point */

/** Emits `change`. */
export class Marks extends EventTarget {
  #root;
  #sheet;
  #size;
  /** @type {Point[]} */
  #points = [];
  /** Where the keyboard's cross is, in shares of the picture; null: not used. */
  #cross = /** @type {[number, number]|null} */ (null);
  active = false;
  /** Whether clicks add points that are not meant. */
  negative = false;

  /**
   * @param {SVGElement} root
   * @param {HTMLElement} sheet Hears the keys.
   * @param {() => {width: number, height: number}} size Of the picture.
   */
  constructor(root, sheet, size) {
    super();
    this.#root = root;
    this.#sheet = sheet;
    this.#size = size;
    sheet.addEventListener("keydown", (event) => this.#key(event));
    sheet.addEventListener("blur", () => {
      this.#cross = null;
      this.#draw();
    });
  }

  get points() {
    return [...this.#points];
  }

  set points(points) {
    this.#points = [...points];
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {PointerEvent} event
   * @param {{x: number, y: number}} place
   */
  press({ button, shiftKey }, place) {
    if (button !== 0 && button !== 2) return;
    const scale = this.#size().width / this.#sheet.getBoundingClientRect().width;
    const near = this.#points.find(
      ({ x, y }) => Math.hypot(x - place.x, y - place.y) <= NEAR * scale,
    );
    const other = shiftKey || button === 2;
    if (near) this.points = this.#points.filter((point) => point !== near);
    else this.#add(place, other);
  }

  /**
   * @param {{x: number, y: number}} place
   * @param {boolean} other The opposite of what clicks add.
   */
  #add(place, other) {
    this.points = [...this.#points, { ...place, meant: this.negative === other }];
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.active) return;
    const step = KEY_STEPS[event.key];
    const { width, height } = this.#size();
    if (step) {
      const [x, y] = this.#cross ?? [0.5, 0.5];
      const by = event.shiftKey ? LEAP : STEP;
      this.#cross = [clip(x + step[0] * by), clip(y + step[1] * by)];
      this.#draw();
    } else if (event.key === "Enter" || event.key === " ") {
      const [x, y] = (this.#cross ??= [0.5, 0.5]);
      this.#add({ x: x * width, y: y * height }, event.shiftKey);
    } else if (event.key === "Backspace" || event.key === "Delete") {
      this.points = this.#points.slice(0, -1);
    } else return;
    event.preventDefault();
  }

  #draw() {
    const { width, height } = this.#size();
    const share = (/** @type {number} */ part, /** @type {number} */ whole) =>
      `${(100 * part) / (whole || 1)}%`;
    const dots = this.#points.map(({ x, y, meant }) =>
      svg("circle", {
        cx: share(x, width),
        cy: share(y, height),
        r: "7",
        class: meant ? "meant" : "not",
      }),
    );
    const cross = this.#cross
      ? [svg("circle", { cx: share(this.#cross[0], 1), cy: share(this.#cross[1], 1), r: "11", class: "cross" })]
      : [];
    this.#root.replaceChildren(...dots, ...cross);
  }
}

/** @param {number} share */
function clip(share) {
  return Math.min(0.999, Math.max(0, share));
}
