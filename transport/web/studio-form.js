/** The form of a generator, made from the schema of its parameters. */

import { el, say } from "./dom.js";
import { t } from "./i18n.js";
import { makeControl } from "./studio-controls.js";
import { fieldsOf } from "./studio-schema.js";

/** @typedef {import("./studio-schema.js").Field} Field */
/** @typedef {import("./studio-marks.js").MarkFields} MarkFields */

/**
 * @typedef {object} Shown
 * @property {Field} field
 * @property {HTMLElement} root
 * @property {HTMLElement} wrong Says what is wrong with the value.
 * @property {import("./studio-controls.js").Entry} entry
 */

/** Emits `change` when the user changed a value, `input` while it is being changed. */
export class Form extends EventTarget {
  /** @type {Map<string, Shown>} */
  #shown = new Map();
  /** What is not entered in the form, but on the picture. @type {MarkFields} */
  marks;

  /**
   * @param {HTMLElement} root Gets the fields.
   * @param {import("./studio-schema.js").Schema} schema
   */
  constructor(root, schema) {
    super();
    const fields = fieldsOf(schema);
    this.marks = {
      points: fields.find(({ control }) => control === "points") ?? null,
      boxes: fields.find(({ control }) => control === "boxes") ?? null,
    };
    root.replaceChildren(...this.#sections(fields));
    root.oninput = () => this.dispatchEvent(new Event("input"));
    root.onchange = () => this.dispatchEvent(new Event("change"));
    this.values = {};
  }

  /** As the server takes them. */
  get values() {
    /** @type {Record<string, any>} */
    const values = {};
    for (const [path, { entry }] of this.#shown) {
      const value = entry.read();
      if (value !== undefined) put(values, path.split("."), value);
    }
    return values;
  }

  /** What is not among them gets its default. */
  set values(values) {
    for (const [path, { field, entry }] of this.#shown) {
      /** @type {any} */
      let value = values;
      for (const part of path.split(".")) value = value?.[part];
      entry.write(value === undefined ? field.initial : value);
    }
    this.problems = {};
  }

  /** What is wrong, by the fields' paths. @param {Record<string, string>} problems */
  set problems(problems) {
    let first = true;
    for (const [path, { root, wrong, entry }] of this.#shown) {
      // A problem within a list belongs to the list.
      const own = Object.keys(problems).find((key) => key === path || key.startsWith(`${path}.`));
      say(wrong, own ? problems[own] : "");
      entry.focus.setAttribute("aria-invalid", String(own !== undefined));
      if (own === undefined || !first) continue;
      first = false;
      root.closest("details")?.setAttribute("open", "");
      entry.focus.focus();
    }
  }

  /** Problems that no field here has. @param {Record<string, string>} problems */
  foreign(problems) {
    const known = [...this.#shown.keys()];
    return Object.entries(problems).filter(
      ([key]) => !known.some((path) => key === path || key.startsWith(`${path}.`)),
    );
  }

  /** @param {string} path @returns {HTMLElement|undefined} Of the control. */
  control(path) {
    return this.#shown.get(path)?.entry.focus;
  }

  /**
   * The main fields, then what is collapsed.
   * @param {Field[]} fields
   * @returns {HTMLElement[]}
   */
  #sections(fields) {
    /** @type {Map<string, HTMLElement[]>} */
    const groups = new Map();
    const main = [];
    for (const field of fields) {
      if (field === this.marks.points || field === this.marks.boxes) continue;
      if (field.control === "group") groups.set(field.label, this.#flat(field.fields));
      else if (!field.group) main.push(this.#field(field));
      else groups.set(field.group, [...(groups.get(field.group) ?? []), this.#field(field)]);
    }
    const folded = [...groups].map(([name, parts]) =>
      el("details", { class: "fold" }, el("summary", {}, name), el("div", {}, ...parts)),
    );
    return [...main, ...folded];
  }

  /** @param {Field[]} fields @returns {HTMLElement[]} */
  #flat(fields) {
    return fields.flatMap((field) =>
      field.control === "group" ? this.#flat(field.fields) : [this.#field(field)],
    );
  }

  /** @param {Field} field */
  #field(field) {
    const id = `field-${field.path}`;
    const entry = makeControl(field, id);
    const help = el("small", { id: `${id}-help`, class: "help" }, field.help);
    const wrong = el("small", { id: `${id}-wrong`, class: "wrong", role: "alert" });
    help.hidden = !field.help;
    wrong.hidden = true;
    entry.focus.setAttribute("aria-describedby", `${help.id} ${wrong.id}`);
    entry.focus.dataset.testid = id;
    if (field.required) entry.focus.setAttribute("aria-required", "true");
    const label = entry.several
      ? el("span", { class: "name", id: `${id}-name` }, field.label)
      : el("label", { class: "name", for: id }, field.label);
    if (field.required) label.append(el("em", {}, t("form.required")));
    if (entry.several) {
      entry.root.setAttribute("role", "group");
      entry.root.setAttribute("aria-labelledby", label.id);
    }
    const root = el(
      "div",
      { class: "entry", "data-control": field.control },
      label,
      entry.root,
      help,
      wrong,
    );
    this.#shown.set(field.path, { field, root, wrong, entry });
    return root;
  }
}

/**
 * @param {Record<string, any>} values
 * @param {string[]} path
 * @param {any} value
 */
function put(values, [name, ...rest], value) {
  if (!rest.length) values[name] = value;
  else put((values[name] ??= {}), rest, value);
}
