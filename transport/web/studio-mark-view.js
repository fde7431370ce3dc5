/** Points and boxes as they are seen on a picture, and the buttons that remove boxes. */

import { el, svg } from "./dom.js";
import { t } from "./i18n.js";

/** Corners by which boxes are resized; the button that removes them is at the fourth one. */
const HANDLES = ["nw", "sw", "se"];
const REMOVE = "ne";

/** @typedef {import("./studio-marks.js").Place} Place */
/** @typedef {import("./studio-boxes.js").Box} Box */
/** @typedef {Omit<Box, "object">} Edges */
/** @typedef {{box: Box, fixed: Place}} Handle */

export class MarkView {
  #marks;
  #sheet;
  #dots = svg("svg", { class: "dots", "aria-hidden": "true" });
  #draft = el("div", { class: "frame draft", "data-testid": "box-draft" });
  #frames = el("div", { class: "frames" });
  /** What handles resize, and the corner that stays. @type {Map<Node, Handle>} */
  #handles = new Map();

  /**
   * @param {import("./studio-marks.js").Marks} marks
   * @param {HTMLElement} sheet Is focused when a box is gone.
   */
  constructor(marks, sheet) {
    this.#marks = marks;
    this.#sheet = sheet;
    this.#draft.hidden = true;
    sheet.append(this.#dots, this.#frames, this.#draft);
    marks.addEventListener("change", () => this.#draw());
  }

  /**
   * Shows a box that is being drawn.
   * @param {Edges|null} edges
   * @param {Box|null} [instead] The one that is being resized.
   */
  showDraft(edges, instead = null) {
    this.#draft.hidden = !edges;
    if (edges) this.#place(this.#draft, edges);
    for (const [n, box] of this.#marks.boxes.entries()) {
      this.#frames.children[n].toggleAttribute("data-draft", box === instead);
    }
  }

  /**
   * Shows where the keyboard is.
   * @param {Place|null} place
   */
  showCross(place) {
    this.#dots.querySelector(".cross")?.remove();
    if (place) this.#dots.append(this.#circle(place, "11", "cross"));
  }

  /**
   * @param {EventTarget|null} target Of an event.
   * @returns {Handle|undefined}
   */
  handle(target) {
    return this.#handles.get(/** @type {Node} */ (target));
  }

  #draw() {
    const dots = this.#marks.points.map((point) =>
      this.#circle(point, "7", point.meant ? "meant" : "not"),
    );
    const cross = this.#dots.querySelector(".cross");
    this.#dots.replaceChildren(...dots, ...(cross ? [cross] : []));
    this.#handles.clear();
    const frames = this.#marks.boxes.map((box, n) => this.#frame(box, n + 1));
    this.#frames.replaceChildren(...frames);
  }

  /**
   * @param {Box} box
   * @param {number} n Counted from one.
   */
  #frame(box, n) {
    const { left, top, right, bottom } = box;
    const size = { n, width: right - left, height: bottom - top, left, top };
    const name = t("easel.box.remove", size);
    const button = el(
      "button",
      { type: "button", title: name, "aria-label": name, "data-testid": `box-remove-${n}` },
      svg("svg", { viewBox: "0 0 20 20" }, svg("path", { d: "M6 6l8 8M14 6l-8 8" })),
    );
    button.addEventListener("click", () => this.#remove(box));
    button.addEventListener("keydown", ({ key }) => {
      if (key === "Delete" || key === "Backspace") this.#remove(box);
    });
    this.#putAt(button, box, REMOVE);
    const frame = el("div", { class: "frame", "data-testid": `box-${n}` });
    this.#place(frame, box);
    return el("div", {}, frame, ...HANDLES.map((corner) => this.#handle(box, corner)), button);
  }

  /** @param {Box} box @param {string} corner */
  #handle(box, corner) {
    const node = el("span", {});
    this.#putAt(node, box, corner);
    const fixed = {
      x: corner.endsWith("w") ? box.right : box.left,
      y: corner.startsWith("n") ? box.bottom : box.top,
    };
    this.#handles.set(node, { box, fixed });
    return node;
  }

  /** @param {HTMLElement} node @param {Box} box @param {string} corner Where the node belongs. */
  #putAt(node, { left, top, right, bottom }, corner) {
    const { width, height } = this.#marks.size;
    node.dataset.corner = corner;
    node.style.setProperty("--x", share(corner.endsWith("w") ? left : right, width));
    node.style.setProperty("--y", share(corner.startsWith("n") ? top : bottom, height));
  }

  /** @param {Box} box */
  #remove(box) {
    this.#marks.remove(box);
    this.#sheet.focus({ preventScroll: true });
  }

  /** @param {HTMLElement} node @param {Edges} edges */
  #place(node, { left, top, right, bottom }) {
    const { width, height } = this.#marks.size;
    Object.assign(node.style, {
      left: share(left, width),
      top: share(top, height),
      right: share(width - right, width),
      bottom: share(height - bottom, height),
    });
  }

  /** @param {Place} place @param {string} r @param {string} name Its class. */
  #circle({ x, y }, r, name) {
    const { width, height } = this.#marks.size;
    return svg("circle", { cx: share(x, width), cy: share(y, height), r, class: name });
  }
}

/**
 * @param {number} part
 * @param {number} whole
 */
function share(part, whole) {
  return `${(100 * part) / (whole || 1)}%`;
}
