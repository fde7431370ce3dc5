/** One input of a generator: files that are chosen, dropped, pasted, or taken from other jobs. */

import { el, say, svg } from "./dom.js";
import { followDrops } from "./drops.js";
import { t } from "./i18n.js";

const ACCEPTED = /** @type {Record<string, string[]>} */ ({
  image: ["image/"],
  mask: ["image/"],
  video: ["video/"],
  audio: ["audio/", "video/"],
});

/** @typedef {import("./studio-api.js").Given} Given */

/** Emits `change` when other files are given. */
export class Slot extends EventTarget {
  #media;
  /** @type {Given[]} */
  #given = [];
  #list = el("ul", { class: "given" });
  #wrong = el("p", { class: "wrong", role: "alert" });
  #place = el("div", { class: "place" });
  #file;
  input;
  root;

  /**
   * @param {import("./studio-api.js").GeneratorInput} input
   * @param {import("./studio-media.js").Media} media
   */
  constructor(input, media) {
    super();
    this.input = input;
    this.#media = media;
    this.#file = this.#picker();
    this.#wrong.hidden = true;
    const title = el("h2", {}, label(input.name));
    if (input.required) title.append(el("em", {}, t("form.required")));
    const choose = el(
      "label",
      { class: "button tool" },
      this.#file,
      svg(
        "svg",
        { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
        svg("path", { d: "M10 4.5v11M4.5 10h11" }),
      ),
      el("span", {}, t("slot.choose")),
    );
    const invitation = el("p", { class: "hint" }, t("slot.drop"));
    const help = el("p", { class: "hint" }, input.help);
    help.hidden = !input.help;
    this.root = el(
      "section",
      { class: "slot", "data-testid": `slot-${input.name}`, "data-count": "0" },
      el("div", { class: "top" }, title, el("div", { class: "pick" }, invitation, choose)),
      help,
      this.#place,
      this.#list,
      this.#wrong,
    );
    followDrops(this.root, (files) => this.take([...files]));
  }

  /** Under the title: for an easel. */
  get place() {
    return this.#place;
  }

  get given() {
    return this.#given;
  }

  /** @param {Given[]} given */
  set given(given) {
    for (const { file, url } of this.#given) {
      if (file && !given.some((other) => other.url === url)) URL.revokeObjectURL(url);
    }
    this.#given = given;
    this.problem = "";
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} text What is wrong with what is given. */
  set problem(text) {
    say(this.#wrong, text);
    this.root.toggleAttribute("data-wrong", Boolean(text));
    if (text) this.root.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} type Media type. */
  accepts(type) {
    const starts = this.input.kinds.flatMap((kind) => ACCEPTED[kind] ?? []);
    // Of some files the browser does not know the type; the server looks into them.
    return !type || starts.some((start) => type.startsWith(start));
  }

  /** @param {File[]} files */
  take(files) {
    const fitting = files.filter(({ type }) => this.accepts(type));
    if (fitting.length) {
      this.add(
        fitting.map((file) => ({
          name: file.name,
          type: file.type,
          file,
          url: URL.createObjectURL(file),
        })),
      );
    }
    if (fitting.length < files.length) {
      const kinds = this.input.kinds.map((kind) => t(`kind.${kind}`)).join(", ");
      this.problem = t("slot.unfit", { kinds });
    }
  }

  /** @param {Given[]} given */
  add(given) {
    this.given = this.input.several ? [...this.#given, ...given] : given.slice(0, 1);
  }

  #picker() {
    const { name, kinds, several } = this.input;
    const accept = kinds.flatMap((kind) => ACCEPTED[kind] ?? []).map((start) => `${start}*`);
    const node = /** @type {HTMLInputElement} */ (
      el("input", {
        type: "file",
        class: "unseen",
        accept: accept.join(),
        "aria-label": `${label(name)}: ${t("slot.choose")}`,
        "data-testid": `file-${name}`,
      })
    );
    node.multiple = several;
    node.addEventListener("change", () => {
      this.take([...(node.files ?? [])]);
      node.value = "";
    });
    return node;
  }

  #show() {
    this.root.dataset.count = String(this.#given.length);
    this.#list.replaceChildren(...this.#given.map((one) => this.#item(one)));
  }

  /** @param {Given} given */
  #item(given) {
    const { name, type, url } = given;
    const file = { name, type, url, output: "", kind: "", bytes: 0 };
    const whole = /^(video|audio)\//.test(type) ? this.#media.whole(file) : this.#media.thumb(file);
    const text = t("slot.remove", { name });
    const remove = el(
      "button",
      { type: "button", class: "round small", title: text, "aria-label": text },
      svg(
        "svg",
        { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
        svg("path", { d: "M5.5 5.5l9 9M14.5 5.5l-9 9" }),
      ),
    );
    remove.addEventListener("click", () => {
      this.given = this.#given.filter((other) => other !== given);
      this.#file.focus();
    });
    const caption = el("span", { class: "name", title: name }, name);
    return el("li", {}, whole, el("span", { class: "caption" }, caption, remove));
  }
}

/** A name of the server's made readable. @param {string} name */
export function label(name) {
  const words = name.replace(/_/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
