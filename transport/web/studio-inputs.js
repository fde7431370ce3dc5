/** All inputs of a generator, and the picture among them that is marked and painted on. */

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { Easel } from "./studio-easel.js";
import { EaselTools } from "./studio-easel-tools.js";
import { isPicture } from "./studio-media.js";
import { Slot, label } from "./studio-slot.js";

/** @typedef {import("./studio-api.js").Given} Given */

/**
 * Emits `change` (other files), `marks`, and `picture` (the picture to mark is there).
 */
export class Inputs extends EventTarget {
  #media;
  /** @type {Slot[]} */
  #slots = [];
  /** @type {Slot|undefined} */
  #mask;
  /** @type {Slot|undefined} */
  #picture;
  /** @type {Easel|null} */
  easel = null;

  /**
   * @param {HTMLElement} root
   * @param {import("./studio-api.js").Generator} generator
   * @param {import("./studio-media.js").Media} media
   * @param {import("./studio-marks.js").MarkFields} marks What is marked on the picture.
   */
  constructor(root, generator, media, marks) {
    super();
    this.#media = media;
    this.#slots = generator.inputs.map((input) => new Slot(input, media));
    this.#picture = this.#slots.find(({ input }) => input.kinds.includes("image"));
    this.#mask = this.#slots.find(({ input }) => input.kinds.every((kind) => kind === "mask"));
    root.replaceChildren(...this.#slots.map((slot) => slot.root));
    for (const slot of this.#slots) {
      slot.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    }
    const marking = marks.points !== null || marks.boxes !== null;
    if (this.#picture && (marking || this.#mask)) this.#addEasel(this.#picture, marks, marking);
  }

  /** Frees what is kept of files. */
  close() {
    for (const slot of this.#slots) slot.given = [];
  }

  /** What goes with the job. @returns {Promise<Record<string, Given[]>>} */
  async collect() {
    /** @type {Record<string, Given[]>} */
    const all = {};
    for (const { input, given } of this.#slots) if (given.length) all[input.name] = given;
    if (this.#mask && this.easel && !this.#mask.given.length && !this.easel.brush.empty) {
      const file = new File([await this.easel.brush.png()], "mask.png", { type: "image/png" });
      all[this.#mask.input.name] = [{ name: file.name, type: file.type, file, url: "" }];
    }
    return all;
  }

  /**
   * Marks what is missing.
   * @param {Record<string, Given[]>} collected
   * @returns {boolean} Whether everything is there.
   */
  complete(collected) {
    const missing = this.#slots.filter(({ input }) => input.required && !collected[input.name]);
    for (const slot of missing) {
      slot.problem = t(slot === this.#mask && this.easel ? "slot.paint" : "slot.missing");
    }
    return missing.length === 0;
  }

  /**
   * @param {[string, string][]} problems By input or field.
   * @returns {string[]} Those that belong to none of the inputs.
   */
  showProblems(problems) {
    return problems.flatMap(([name, text]) => {
      const slot = this.#slots.find(({ input }) => input.name === name);
      if (slot) slot.problem = text;
      return slot ? [] : [`${label(name)}: ${text}`];
    });
  }

  /**
   * Takes files that were pasted or dropped beside the inputs.
   * @param {File[]} files
   * @returns {boolean} Whether there is an input for them.
   */
  take(files) {
    const fitting = this.#slots.filter((slot) => files.some(({ type }) => slot.accepts(type)));
    const slot = fitting.find(({ given }) => !given.length) ?? fitting[0];
    slot?.take(files);
    return slot !== undefined;
  }

  /**
   * @param {string} name Of an input.
   * @param {Given[]} given
   */
  give(name, given) {
    this.#slots.find(({ input }) => input.name === name)?.add(given);
  }

  /**
   * @param {Slot} slot
   * @param {import("./studio-marks.js").MarkFields} fields
   * @param {boolean} marks Whether there is any.
   */
  #addEasel(slot, fields, marks) {
    const easel = new Easel(fields);
    this.easel = easel;
    const tools = new EaselTools(easel, { marks, brush: this.#mask !== undefined });
    const box = el("div", {}, tools.root, easel.root);
    box.hidden = true;
    slot.place.append(box);
    this.#mask?.place.append(el("p", { class: "hint" }, t("slot.paint")));
    slot.addEventListener("change", async () => {
      const [first] = slot.given;
      const shown = first && isPicture(first);
      box.hidden = !shown;
      if (shown) easel.show(await this.#media.address(first.url));
    });
    this.#mask?.addEventListener("change", () => this.#loadMask());
    easel.addEventListener("ready", () => {
      void easel.showMasks([]);
      void this.#loadMask();
      this.dispatchEvent(new Event("picture"));
    });
    easel.addEventListener("marks", () => this.dispatchEvent(new Event("marks")));
  }

  /** A mask that is given becomes paint, to be seen and changed. */
  async #loadMask() {
    const [mask] = this.#mask?.given ?? [];
    if (!mask || !this.#mask || !this.easel?.size.width) return;
    try {
      const bitmap = await createImageBitmap(await this.#media.blob(mask.url));
      this.easel.brush.load(bitmap);
      bitmap.close();
      this.#mask.given = [];
    } catch {
      this.#mask.problem = t("slot.unreadable");
    }
  }
}
