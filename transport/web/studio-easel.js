/** A picture to mark and to paint on: points and boxes, a mask over it, and the tools for both. */

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { Brush, drawMask } from "./studio-brush.js";
import { MarkKeys } from "./studio-mark-keys.js";
import { MarkPointer } from "./studio-mark-pointer.js";
import { MarkView } from "./studio-mark-view.js";
import { Marks } from "./studio-marks.js";

/** Pixels of a picture that canvases can be made for. */
const MOST_PIXELS = 40_000_000;

/** Emits `marks`, `paint` (when they changed) and `ready` (another picture is there). */
export class Easel extends EventTarget {
  #image = /** @type {HTMLImageElement} */ (el("img", { "data-testid": "easel-picture" }));
  #paint = /** @type {HTMLCanvasElement} */ (el("canvas", { class: "paint" }));
  #found = /** @type {HTMLCanvasElement} */ (
    el("canvas", { class: "paint", "data-testid": "easel-mask", "aria-hidden": "true" })
  );
  #sheet = el("div", { class: "sheet", tabindex: "0", "data-testid": "easel" });
  #ring = el("span", { class: "ring", "aria-hidden": "true" });
  /** @type {"marks"|"brush"} */
  #tool = "marks";
  /** @type {number|null} Of the pointer that paints. */
  #painting = null;
  root = el("div", { class: "easel" });
  #keys;
  #pointer;
  brush;
  marks;

  /** @param {import("./studio-marks.js").MarkFields} fields What marks are for. */
  constructor(fields) {
    super();
    this.brush = new Brush(this.#paint);
    this.marks = new Marks(fields, () => this.size);
    this.#sheet.append(this.#image, this.#found, this.#paint, this.#ring);
    const view = new MarkView(this.marks, this.#sheet);
    this.#keys = new MarkKeys(this.#sheet, this.marks, view);
    this.#pointer = new MarkPointer(this.#sheet, this.marks, view, (event) => this.#place(event));
    this.root.append(this.#sheet);
    this.#image.alt = "";
    this.#image.addEventListener("load", () => this.#loaded());
    this.brush.addEventListener("change", () => this.dispatchEvent(new Event("paint")));
    this.marks.addEventListener("change", () => this.dispatchEvent(new Event("marks")));
    this.#followPointer();
  }

  /** Of the picture, in pixels; zero while there is none. */
  get size() {
    return { width: this.#image.naturalWidth, height: this.#image.naturalHeight };
  }

  /** What clicks and strokes do. @param {"marks"|"brush"} tool */
  set tool(tool) {
    const marking = tool === "marks";
    this.#tool = tool;
    this.#sheet.dataset.tool = tool;
    this.#keys.active = this.#pointer.active = marking;
    this.#sheet.tabIndex = marking ? 0 : -1;
    this.#sheet.setAttribute("role", marking ? "application" : "img");
    this.#sheet.setAttribute("aria-label", this.#name());
  }

  /** Whether fingers draw boxes; else they scroll. @param {boolean} draw */
  set fingers(draw) {
    this.#pointer.fingers = draw;
    this.#sheet.toggleAttribute("data-fingers", draw);
  }

  #name() {
    if (this.#tool === "brush") return t("easel.brush");
    const boxes = this.marks.mostBoxes > 0;
    return [t("easel.marks"), ...(boxes ? [t("easel.marks.boxes")] : [])].join(" ");
  }

  /** @param {string} url Of the picture. */
  show(url) {
    if (this.#image.getAttribute("src") !== url) this.#image.src = url;
  }

  /** Shows masks that were found, those of several objects as one. @param {Blob[]} masks */
  async showMasks(masks) {
    const { width, height } = this.size;
    const bitmaps = await Promise.all(masks.map((mask) => createImageBitmap(mask)));
    this.#found.width = width;
    this.#found.height = height;
    const context = /** @type {CanvasRenderingContext2D} */ (this.#found.getContext("2d"));
    for (const bitmap of bitmaps) {
      drawMask(context, bitmap, width, height);
      bitmap.close();
    }
  }

  #loaded() {
    const { width, height } = this.size;
    const fits = width * height <= MOST_PIXELS;
    this.brush.reset(fits ? width : 1, fits ? height : 1);
    this.brush.width = Math.round(Math.max(width, height) / 16);
    this.marks.reset();
    this.#found.width = width;
    this.dispatchEvent(new Event("ready"));
  }

  #followPointer() {
    const sheet = this.#sheet;
    sheet.addEventListener("pointerdown", (event) => {
      if (this.#tool !== "brush" || event.button !== 0 || this.#painting !== null) return;
      event.preventDefault();
      this.#painting = event.pointerId;
      sheet.setPointerCapture(event.pointerId);
      this.brush.paint(this.#place(event));
    });
    sheet.addEventListener("pointermove", (event) => {
      this.#moveRing(event);
      if (event.pointerId !== this.#painting) return;
      const between = event.getCoalescedEvents?.() ?? [];
      for (const one of between.length ? between : [event]) this.brush.paint(this.#place(one));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      sheet.addEventListener(name, (event) => {
        if (/** @type {PointerEvent} */ (event).pointerId !== this.#painting) return;
        this.#painting = null;
        this.brush.lift();
      });
    }
    sheet.addEventListener("contextmenu", (event) => {
      if (this.#tool === "marks") event.preventDefault();
    });
  }

  /**
   * @param {PointerEvent} event
   * @returns {{x: number, y: number}} In pixels of the picture.
   */
  #place({ clientX, clientY }) {
    const box = this.#image.getBoundingClientRect();
    const { width, height } = this.size;
    const inside = (/** @type {number} */ share) => Math.min(1 - 1e-6, Math.max(0, share));
    return {
      x: inside((clientX - box.left) / box.width) * width,
      y: inside((clientY - box.top) / box.height) * height,
    };
  }

  /** The ring shows how wide the brush is. @param {PointerEvent} event */
  #moveRing({ clientX, clientY }) {
    const box = this.#image.getBoundingClientRect();
    const side = (this.brush.width * box.width) / (this.size.width || 1);
    Object.assign(this.#ring.style, {
      width: `${side}px`,
      height: `${side}px`,
      left: `${clientX - box.left - side / 2}px`,
      top: `${clientY - box.top - side / 2}px`,
    });
  }
}
