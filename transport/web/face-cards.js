/** The cards of the faces that are put in: what is seen of each, and a button that removes it. */

import { byId, el, svg } from "./dom.js";
import { t } from "./i18n.js";

const THUMB_PIXELS = 112;
/** What is shown around a face, in its longer sides. */
const AROUND = 0.25;

/** @typedef {import("./swap-faces.js").SwapFace} SwapFace */

/** Emits `remove` (CustomEvent<SwapFace>) and `choose` (CustomEvent<{face, index}>). */
export class FaceCards extends EventTarget {
  #list = byId("swap-faces");
  /** @type {Map<SwapFace, Card>} */
  #cards = new Map();

  /**
   * Cards that stay keep their elements, and so the focus.
   * @param {SwapFace[]} faces
   */
  show(faces) {
    for (const [face, card] of this.#cards) {
      if (faces.includes(face)) continue;
      card.root.remove();
      this.#cards.delete(face);
    }
    for (const [place, face] of faces.entries()) {
      const card = this.#cards.get(face) ?? this.#add(face);
      card.show(place + 1);
    }
    this.#list.hidden = faces.length === 0;
  }

  /** Writes everything in the page's language. */
  render() {
    this.show([...this.#cards.keys()]);
  }

  /** @param {SwapFace} face */
  #add(face) {
    const card = new Card(face, {
      remove: () => this.dispatchEvent(new CustomEvent("remove", { detail: face })),
      choose: (index) => {
        this.dispatchEvent(new CustomEvent("choose", { detail: { face, index } }));
      },
    });
    this.#cards.set(face, card);
    this.#list.append(card.root);
    return card;
  }
}

class Card {
  #face;
  #thumb = /** @type {HTMLCanvasElement} */ (el("canvas", { "aria-hidden": "true" }));
  #which = /** @type {HTMLSelectElement} */ (el("select", { "data-testid": "swap-which" }));
  #note = el("span", { class: "note" });
  #remove = el(
    "button",
    { type: "button", class: "round" },
    svg(
      "svg",
      { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
      svg("path", { d: "M5.5 5.5l9 9M14.5 5.5l-9 9" }),
    ),
  );
  /** What the thumbnail shows. */
  #drawn = "";
  root;

  /**
   * @param {SwapFace} face
   * @param {{remove: () => void, choose: (index: number) => void}} actions
   */
  constructor(face, { remove, choose }) {
    this.#face = face;
    this.#thumb.width = THUMB_PIXELS;
    this.#thumb.height = THUMB_PIXELS;
    this.#remove.addEventListener("click", remove);
    this.#which.addEventListener("change", () => choose(Number(this.#which.value)));
    const name = el("span", { class: "name", title: face.picture.name }, face.picture.name);
    const text = el("span", { class: "text" }, name, this.#note, this.#which);
    this.root = el("li", { class: "face" }, this.#thumb, text, this.#remove);
  }

  /** @param {number} place Counted from 1. */
  show(place) {
    const { id, boxes, index, picture } = this.#face;
    const several = boxes.length > 1;
    this.root.dataset.testid = `swap-face-${place}`;
    this.root.setAttribute("aria-busy", String(!id));
    this.#remove.setAttribute("aria-label", t("swap.remove", { name: picture.name }));
    this.#remove.title = t("swap.remove", { name: picture.name });
    this.#note.textContent = t(id ? "swap.ready" : "swap.sending");
    this.#note.hidden = several;
    this.#which.hidden = !several;
    this.#which.setAttribute("aria-label", t("swap.which", { name: picture.name }));
    const names = boxes.map((_, n) => t("swap.nth", { n: n + 1, count: boxes.length }));
    if (names.join() !== [...this.#which.options].map(({ text }) => text).join()) {
      const options = names.map((name, n) => el("option", { value: String(n) }, name));
      this.#which.replaceChildren(...options);
    }
    this.#which.value = String(index);
    this.#draw();
  }

  async #draw() {
    const { picture, boxes, index } = this.#face;
    const wanted = String(boxes[index]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    try {
      const image = await createImageBitmap(picture);
      if (wanted === this.#drawn) cut(image, boxes[index], this.#thumb);
      image.close();
    } catch (error) {
      // Only a thumbnail is missing: the server decides whether the picture can be used.
      console.debug("No thumbnail:", error);
    }
  }
}

/**
 * @param {ImageBitmap} image
 * @param {import("./api.js").Box|undefined} box What is to be seen; all of it where there is none.
 * @param {HTMLCanvasElement} canvas
 */
function cut(image, box, canvas) {
  const [left, top, right, bottom] = box ?? [0, 0, image.width, image.height];
  const around = box ? 1 + 2 * AROUND : 1;
  const wanted = Math.max(right - left, bottom - top) * around;
  const side = Math.min(wanted, image.width, image.height);
  const x = Math.min(Math.max(0, (left + right - side) / 2), image.width - side);
  const y = Math.min(Math.max(0, (top + bottom - side) / 2), image.height - side);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
}
