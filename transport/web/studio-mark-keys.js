/** Marking a picture by the keyboard: a cross that is moved, points and boxes where it is. */

import { boxBetween } from "./studio-boxes.js";

const STEPS = /** @type {Record<string, [number, number]>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});
/** How far a key moves the cross, as a share of the picture; and with the shift key. */
const STEP = 0.01;
const LEAP = 0.1;

/** @typedef {[number, number]} Shares Of the picture's width and height. */

export class MarkKeys {
  #marks;
  #view;
  /** Where the cross is; null: not used. @type {Shares|null} */
  #cross = null;
  /** Where a box was begun. @type {Shares|null} */
  #corner = null;
  active = false;

  /**
   * @param {HTMLElement} sheet Hears the keys.
   * @param {import("./studio-marks.js").Marks} marks
   * @param {import("./studio-mark-view.js").MarkView} view
   */
  constructor(sheet, marks, view) {
    this.#marks = marks;
    this.#view = view;
    sheet.addEventListener("keydown", (event) => {
      // Buttons on the picture have keys of their own.
      if (!this.active || event.target !== sheet || !this.#press(event)) return;
      event.preventDefault();
      this.#show();
    });
    sheet.addEventListener("blur", () => {
      this.#cross = this.#corner = null;
      this.#show();
    });
  }

  /** @param {KeyboardEvent} event @returns {boolean} Whether the key means something here. */
  #press({ key, shiftKey, ctrlKey, metaKey, altKey }) {
    const step = STEPS[key];
    if (step) this.#move(step, shiftKey ? LEAP : STEP);
    else if (key === "Enter" || key === " ") this.#set(shiftKey);
    else if (key === "Backspace" || key === "Delete") this.#marks.removeLast();
    else if (key === "Escape" && this.#corner) this.#corner = null;
    else if (key.toLowerCase() === "b" && !ctrlKey && !metaKey && !altKey) this.#turn();
    else return false;
    return true;
  }

  /** @param {[number, number]} step @param {number} by */
  #move(step, by) {
    const [x, y] = this.#cross ?? [0.5, 0.5];
    this.#cross = [clip(x + step[0] * by), clip(y + step[1] * by)];
  }

  /** Ends the box that was begun, or adds a point. @param {boolean} other */
  #set(other) {
    this.#cross ??= [0.5, 0.5];
    if (this.#corner) this.#turn();
    else this.#marks.addPoint(this.#place(this.#cross), other);
  }

  /** Begins a box, or ends it. */
  #turn() {
    if (!this.#marks.mostBoxes) return;
    this.#cross ??= [0.5, 0.5];
    const [from, to] = [this.#corner, this.#cross];
    if (!from) {
      this.#corner = to;
    } else if (from[0] !== to[0] && from[1] !== to[1]) {
      this.#corner = null;
      this.#marks.addBox(this.#place(from), this.#place(to));
    }
  }

  #show() {
    const [cross, corner] = [this.#cross, this.#corner];
    this.#view.showCross(cross && this.#place(cross));
    const both = cross && corner;
    this.#view.showDraft(
      both && boxBetween(this.#place(corner), this.#place(cross), this.#marks.size),
    );
  }

  /** @param {Shares} shares */
  #place([x, y]) {
    const { width, height } = this.#marks.size;
    return { x: x * width, y: y * height };
  }
}

/** @param {number} share */
function clip(share) {
  return Math.min(1 - 1e-6, Math.max(0, share));
}
