/** The buttons beside a picture: what clicks do, the brush's width, undo and clear. */

import { el } from "./dom.js";
import { t } from "./i18n.js";

export class EaselTools {
  #easel;
  #undo;
  #points = el("div", { class: "kit" });
  #brush = el("div", { class: "kit" });
  /** @type {"points"|"brush"} */
  #tool;
  #width = /** @type {HTMLInputElement} */ (
    el("input", { type: "range", min: "1", max: "100", "data-testid": "brush-size" })
  );
  root = el("div", { class: "easel-tools" });

  /**
   * @param {import("./studio-easel.js").Easel} easel
   * @param {{points: boolean, brush: boolean}} tools Which there are.
   */
  constructor(easel, tools) {
    this.#easel = easel;
    this.#tool = tools.points ? "points" : "brush";
    this.#fillPoints();
    this.#fillBrush();
    this.#undo = button("easel.undo", "undo", () => this.#takeBack());
    const clear = button("easel.clear", "clear", () => this.#clear());
    if (tools.points && tools.brush) {
      this.root.append(either("easel.tools", ["points", "brush"], (name) => this.#use(name)));
    }
    const ends = el("div", { class: "kit end" }, this.#undo, clear);
    this.root.append(this.#points, this.#brush, ends);
    for (const name of ["points", "paint", "ready"]) {
      easel.addEventListener(name, () => this.#show());
    }
    easel.addEventListener("ready", () => this.#showWidth());
    this.#use(this.#tool);
  }

  #fillPoints() {
    const sign = either("easel.sign", ["in", "out"], (name) => {
      this.#easel.marks.negative = name === "out";
    });
    this.#points.append(sign, el("p", { class: "hint" }, t("easel.points.hint")));
  }

  #fillBrush() {
    const mode = either("easel.mode", ["paint", "erase"], (name) => {
      this.#easel.brush.erases = name === "erase";
    });
    this.#width.addEventListener("input", () => {
      this.#easel.brush.width = this.#unit * Number(this.#width.value);
    });
    const width = el("label", { class: "width" }, el("span", {}, t("easel.width")), this.#width);
    this.#brush.append(mode, width);
  }

  /** Of the brush's slider, in pixels of the picture. */
  get #unit() {
    const { width, height } = this.#easel.size;
    return Math.max(width, height) / 250;
  }

  #showWidth() {
    this.#width.value = String(Math.round(this.#easel.brush.width / this.#unit));
  }

  /** @param {string} tool */
  #use(tool) {
    this.#tool = tool === "brush" ? "brush" : "points";
    this.#easel.tool = this.#tool;
    this.#points.hidden = this.#tool !== "points";
    this.#brush.hidden = this.#tool !== "brush";
    this.#show();
  }

  #show() {
    const { marks, brush } = this.#easel;
    const some = this.#tool === "points" ? marks.points.length > 0 : brush.undoable;
    /** @type {HTMLButtonElement} */ (this.#undo).disabled = !some;
  }

  #takeBack() {
    const { marks, brush } = this.#easel;
    if (this.#tool === "points") marks.points = marks.points.slice(0, -1);
    else brush.undo();
  }

  #clear() {
    if (this.#tool === "points") this.#easel.marks.points = [];
    else this.#easel.brush.clear();
  }
}

/**
 * @param {string} key Of the text.
 * @param {string} name
 * @param {() => void} act
 */
function button(key, name, act) {
  const attributes = { type: "button", class: "link", "data-testid": `easel-${name}` };
  const node = el("button", attributes, t(key));
  node.addEventListener("click", act);
  return node;
}

/**
 * Buttons of which one is pressed, the first at first.
 * @param {string} key Of the group's name.
 * @param {string[]} names
 * @param {(name: string) => void} choose
 */
function either(key, names, choose) {
  const buttons = names.map((name, n) =>
    el(
      "button",
      { type: "button", "aria-pressed": String(n === 0), "data-testid": `easel-${name}` },
      t(`easel.do.${name}`),
    ),
  );
  for (const [n, node] of buttons.entries()) {
    node.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === node));
      choose(names[n]);
    });
  }
  return el("div", { class: "either", role: "group", "aria-label": t(key) }, ...buttons);
}
