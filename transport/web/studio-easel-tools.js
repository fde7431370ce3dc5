/** The buttons beside a picture: what clicks do, the brush's width, undo and clear. */

import { el } from "./dom.js";
import { t } from "./i18n.js";

export class EaselTools {
  #easel;
  #undo;
  #marks = el("div", { class: "kit" });
  #brush = el("div", { class: "kit" });
  /** @type {"marks"|"brush"} */
  #tool;
  #width = /** @type {HTMLInputElement} */ (
    el("input", { type: "range", min: "1", max: "100", "data-testid": "brush-size" })
  );
  root = el("div", { class: "easel-tools" });

  /**
   * @param {import("./studio-easel.js").Easel} easel
   * @param {{marks: boolean, brush: boolean}} tools Which there are.
   */
  constructor(easel, tools) {
    this.#easel = easel;
    this.#tool = tools.marks ? "marks" : "brush";
    this.#fillMarks();
    this.#fillBrush();
    this.#undo = button("easel.undo", "undo", () => this.#used.undo());
    const clear = button("easel.clear", "clear", () => this.#used.clear());
    if (tools.marks && tools.brush) {
      this.root.append(either("easel.tools", ["marks", "brush"], (name) => this.#use(name)));
    }
    const ends = el("div", { class: "kit end" }, this.#undo, clear);
    this.root.append(this.#marks, this.#brush, ends);
    for (const name of ["marks", "paint", "ready"]) {
      easel.addEventListener(name, () => this.#show());
    }
    easel.addEventListener("ready", () => this.#showWidth());
    this.#use(this.#tool);
  }

  #fillMarks() {
    const { marks } = this.#easel;
    const hints = [];
    if (marks.pointable) {
      const sign = either("easel.sign", ["in", "out"], (name) => {
        marks.negative = name === "out";
      });
      this.#marks.append(sign);
      hints.push(t("easel.points.hint"));
    }
    if (marks.mostBoxes > 0) {
      const fingers = either("easel.fingers", ["tap", "box"], (name) => {
        this.#easel.fingers = name === "box";
      });
      fingers.classList.add("fingers");
      this.#marks.append(fingers);
      hints.push(t("easel.boxes.hint"));
    }
    this.#marks.append(el("p", { class: "hint" }, hints.join(" ")));
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
    this.#tool = tool === "brush" ? "brush" : "marks";
    this.#easel.tool = this.#tool;
    this.#marks.hidden = this.#tool !== "marks";
    this.#brush.hidden = this.#tool !== "brush";
    this.#show();
  }

  #show() {
    /** @type {HTMLButtonElement} */ (this.#undo).disabled = !this.#used.undoable;
  }

  /** What the tool is for. */
  get #used() {
    return this.#tool === "marks" ? this.#easel.marks : this.#easel.brush;
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
