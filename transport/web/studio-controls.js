/** The controls of a form: for each kind of field its element, its value, and how it is set. */

import { el, svg } from "./dom.js";
import { t } from "./i18n.js";
import { range } from "./studio-schema.js";

const LARGEST_SEED = 2 ** 31 - 1;

/**
 * @typedef {object} Entry
 * @property {HTMLElement} root What is put into the form.
 * @property {HTMLElement} focus What is focused, and described by help and problems.
 * @property {() => any} read Undefined where nothing is said, so that the default holds.
 * @property {(value: any) => void} write Undefined: nothing is said.
 * @property {boolean} [several] The root is a group with a name, not a control with a label.
 */

/** @typedef {import("./studio-schema.js").Field} Field */

/**
 * @param {Field} field
 * @param {string} id Of the control.
 * @returns {Entry}
 */
export function makeControl(field, id) {
  switch (field.control) {
    case "area":
      return text(field, id, "textarea");
    case "number":
      return numeric(field, id);
    case "slider":
      return slider(field, id);
    case "seed":
      return seed(field, id);
    case "choice":
      return choice(field, id);
    case "choices":
      return choices(field, id);
    case "flag":
      return flag(id);
    case "colour":
      return colour(field, id);
    case "json":
    case "points":
    case "boxes":
      return json(id);
    default:
      return text(field, id, "input");
  }
}

/**
 * @param {Field} field
 * @param {string} id
 * @param {"input"|"textarea"} tag
 * @returns {Entry}
 */
function text({ schema, optional }, id, tag) {
  const node = /** @type {HTMLInputElement} */ (el(tag, { id, autocomplete: "off" }));
  if (tag === "textarea") node.setAttribute("rows", "3");
  if (schema.maxLength !== undefined) node.maxLength = schema.maxLength;
  return {
    root: node,
    focus: node,
    read: () => (node.value || !optional ? node.value : null),
    write: (value) => {
      node.value = value ?? "";
    },
  };
}

/**
 * @param {Field} field
 * @param {string} id
 */
function numberBox({ schema }, id) {
  const { low, high, step } = range(schema);
  const node = /** @type {HTMLInputElement} */ (
    el("input", { id, type: "number", step: schema.type === "integer" ? String(step) : "any" })
  );
  if (low !== undefined) node.min = String(low);
  if (high !== undefined) node.max = String(high);
  return node;
}

/**
 * What a box of a number says: null where it is empty and may be.
 * @param {HTMLInputElement} node
 * @param {Field} field
 */
function numberIn(node, { optional }) {
  if (node.value !== "") return Number(node.value);
  return optional ? null : undefined;
}

/** @param {Field} field @param {string} id @returns {Entry} */
function numeric(field, id) {
  const node = numberBox(field, id);
  return {
    root: withUnit(node, field.unit),
    focus: node,
    read: () => numberIn(node, field),
    write: (value) => {
      node.value = value ?? "";
    },
  };
}

/** @param {Field} field @param {string} id @returns {Entry} */
function slider(field, id) {
  const node = numberBox(field, id);
  const { low = 0, high = 1, step } = range(field.schema);
  const track = /** @type {HTMLInputElement} */ (
    el("input", { type: "range", min: String(low), max: String(high), step: String(step) })
  );
  // The box beside it says the same, more exactly.
  track.tabIndex = -1;
  track.setAttribute("aria-hidden", "true");
  track.addEventListener("input", () => {
    node.value = track.value;
  });
  node.addEventListener("input", () => {
    track.value = node.value;
  });
  return {
    root: el("span", { class: "sliding" }, track, withUnit(node, field.unit)),
    focus: node,
    read: () => numberIn(node, field),
    write: (value) => {
      node.value = value ?? "";
      track.value = String(value ?? low);
    },
  };
}

/** @param {Field} field @param {string} id @returns {Entry} */
function seed(field, id) {
  const node = numberBox(field, id);
  const { low = 0, high = LARGEST_SEED } = range(field.schema);
  node.placeholder = t("form.random");
  const dice = el(
    "button",
    { type: "button", class: "round small", title: t("form.dice"), "aria-label": t("form.dice") },
    svg(
      "svg",
      { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" },
      svg("rect", { x: "3", y: "3", width: "14", height: "14", rx: "3" }),
      svg("path", { d: "M7 7v.1M13 7v.1M10 10v.1M7 13v.1M13 13v.1" }),
    ),
  );
  dice.addEventListener("click", () => {
    const from = Math.max(0, low);
    const width = Math.min(high, LARGEST_SEED) - from;
    node.value = String(from + Math.floor(Math.random() * (width + 1)));
    node.dispatchEvent(new Event("input", { bubbles: true }));
  });
  return {
    root: el("span", { class: "seed" }, node, dice),
    focus: node,
    read: () => numberIn(node, field),
    write: (value) => {
      node.value = value ?? "";
    },
  };
}

/** @param {Field} field @param {string} id @returns {Entry} */
function choice({ schema, optional }, id) {
  const values = schema.enum ?? [schema.const];
  const node = /** @type {HTMLSelectElement} */ (el("select", { id }));
  if (optional) node.append(el("option", { value: "" }, "–"));
  // By their places: values need not be texts.
  for (const [n, value] of values.entries()) {
    node.append(el("option", { value: String(n) }, String(value)));
  }
  return {
    root: node,
    focus: node,
    read: () => (node.value === "" ? null : values[Number(node.value)]),
    write: (value) => {
      const n = values.indexOf(value);
      node.value = n < 0 ? (optional ? "" : "0") : String(n);
    },
  };
}

/** @param {Field} field @param {string} id @returns {Entry} */
function choices({ schema }, id) {
  const { enum: values = [] } = /** @type {import("./studio-schema.js").Schema} */ (schema.items);
  const boxes = values.map((value, n) => {
    const box = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox" }));
    box.id = n ? `${id}-${n}` : id;
    return { value, box };
  });
  const labels = boxes.map(({ value, box }) =>
    el("label", { class: "check" }, box, el("span", {}, String(value))),
  );
  return {
    root: el("span", { class: "boxes" }, ...labels),
    focus: boxes[0]?.box ?? el("span"),
    several: true,
    read: () => boxes.filter(({ box }) => box.checked).map(({ value }) => value),
    write: (value) => {
      for (const one of boxes) one.box.checked = (value ?? []).includes(one.value);
    },
  };
}

/** @param {string} id @returns {Entry} */
function flag(id) {
  const node = /** @type {HTMLInputElement} */ (el("input", { id, type: "checkbox" }));
  return {
    root: node,
    focus: node,
    read: () => node.checked,
    write: (value) => {
      node.checked = Boolean(value);
    },
  };
}

/** @param {Field} field @param {string} id @returns {Entry} */
function colour({ optional }, id) {
  const node = /** @type {HTMLInputElement} */ (
    el("input", { id, autocomplete: "off", spellcheck: "false", placeholder: "#rrggbb" })
  );
  const well = /** @type {HTMLInputElement} */ (el("input", { type: "color", tabindex: "-1" }));
  well.setAttribute("aria-hidden", "true");
  const follow = () => {
    if (/^#[0-9a-f]{6}$/i.test(node.value)) well.value = node.value;
  };
  node.addEventListener("input", follow);
  well.addEventListener("input", () => {
    node.value = well.value;
  });
  return {
    root: el("span", { class: "colour" }, well, node),
    focus: node,
    read: () => (node.value || !optional ? node.value : null),
    write: (value) => {
      node.value = value ?? "";
      follow();
    },
  };
}

/** For what there is no better control. @param {string} id @returns {Entry} */
function json(id) {
  const node = /** @type {HTMLTextAreaElement} */ (
    el("textarea", { id, rows: "2", class: "code", spellcheck: "false" })
  );
  return {
    root: node,
    focus: node,
    read: () => {
      if (!node.value.trim()) return undefined;
      try {
        return JSON.parse(node.value);
      } catch {
        // The server says what is wrong with it.
        return node.value;
      }
    },
    write: (value) => {
      node.value = value === undefined || value === null ? "" : JSON.stringify(value);
    },
  };
}

/**
 * @param {HTMLInputElement} node
 * @param {string} unit
 */
function withUnit(node, unit) {
  return el("span", { class: "united" }, node, ...(unit ? [el("small", {}, unit)] : []));
}
