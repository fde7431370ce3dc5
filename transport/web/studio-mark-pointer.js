/** Marking a picture by mouse, pen or finger: a click is a point, a drag is a box. */

import { boxBetween } from "./studio-boxes.js";

/** How near a click has to be to a point to remove it, in pixels of the screen. */
const NEAR = 12;
/** How far a pointer moves within a click, in pixels of the screen. */
const STILL = 6;
/** Fingers are less steady. */
const STILL_FINGER = 12;

/** @typedef {import("./studio-marks.js").Place} Place */

/**
 * @typedef {object} Press
 * @property {PointerEvent} event That began it.
 * @property {Place} from
 * @property {import("./studio-boxes.js").Box|null} box That is resized.
 * @property {boolean} draws Whether it makes a box when it moves.
 * @property {boolean} moved
 */

export class MarkPointer {
  #sheet;
  #marks;
  #view;
  #place;
  /** @type {Press|null} */
  #press = null;
  active = false;
  /** Whether fingers draw boxes; else they scroll. */
  fingers = false;

  /**
   * @param {HTMLElement} sheet
   * @param {import("./studio-marks.js").Marks} marks
   * @param {import("./studio-mark-view.js").MarkView} view
   * @param {(event: PointerEvent) => Place} place Where on the picture a pointer is.
   */
  constructor(sheet, marks, view, place) {
    this.#sheet = sheet;
    this.#marks = marks;
    this.#view = view;
    this.#place = place;
    sheet.addEventListener("pointerdown", (event) => this.#down(event));
    sheet.addEventListener("pointermove", (event) => this.#move(event));
    sheet.addEventListener("pointerup", (event) => this.#up(event));
    // The browser scrolls or zooms.
    sheet.addEventListener("pointercancel", () => this.#end());
    sheet.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.#end();
    });
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const { button, pointerType, target } = event;
    if (!this.active || (button !== 0 && button !== 2)) return;
    // Two fingers zoom.
    if (this.#press) return this.#end();
    if (target instanceof Element && target.closest("button")) return;
    const handle = this.#view.handle(target);
    const may = this.#marks.mostBoxes > 0 && (this.fingers || pointerType !== "touch");
    this.#press = {
      event,
      from: handle?.fixed ?? this.#place(event),
      box: handle?.box ?? null,
      draws: button === 0 && (may || handle !== undefined),
      moved: false,
    };
    this.#sheet.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const press = this.#press;
    if (!press || event.pointerId !== press.event.pointerId) return;
    const { clientX, clientY, pointerType } = press.event;
    const still = pointerType === "touch" ? STILL_FINGER : STILL;
    press.moved ||= Math.hypot(event.clientX - clientX, event.clientY - clientY) >= still;
    if (!press.moved || !press.draws) return;
    const edges = boxBetween(press.from, this.#place(event), this.#marks.size);
    this.#view.showDraft(edges, press.box);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const press = this.#press;
    if (!press || event.pointerId !== press.event.pointerId) return;
    this.#move(event);
    this.#end();
    if (press.moved && press.draws) this.#box(press, this.#place(event));
    else if (!press.box && !(press.moved && event.pointerType === "touch")) this.#click(press);
  }

  /** @param {Press} press @param {Place} to */
  #box({ from, box }, to) {
    const least = STILL * this.#scale;
    // Too thin for a box, and too long for a click.
    if (Math.abs(to.x - from.x) < least || Math.abs(to.y - from.y) < least) return;
    if (box) this.#marks.resize(box, from, to);
    else this.#marks.addBox(from, to);
  }

  /** @param {Press} press */
  #click({ event, from }) {
    const reach = NEAR * this.#scale;
    const near = this.#marks.points.find(({ x, y }) => Math.hypot(x - from.x, y - from.y) <= reach);
    if (near) this.#marks.remove(near);
    else this.#marks.addPoint(from, event.shiftKey || event.button === 2);
  }

  /** Pixels of the picture in one of the screen. */
  get #scale() {
    return this.#marks.size.width / this.#sheet.getBoundingClientRect().width;
  }

  #end() {
    if (!this.#press) return;
    this.#press = null;
    this.#view.showDraft(null);
  }
}
