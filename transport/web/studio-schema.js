/** Fields of a form, out of a JSON Schema as pydantic writes it. No DOM. */

/**
 * @typedef {object} Schema
 * @property {string} [type]
 * @property {string} [title]
 * @property {string} [description]
 * @property {any} [default]
 * @property {any[]} [enum]
 * @property {any} [const]
 * @property {Schema[]} [anyOf]
 * @property {Schema|boolean} [items]
 * @property {Schema[]} [prefixItems]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [exclusiveMinimum]
 * @property {number} [exclusiveMaximum]
 * @property {number} [multipleOf]
 * @property {number} [maxLength]
 * @property {number} [maxItems]
 * @property {string} [x-unit]
 * @property {string} [x-widget]
 * @property {string} [x-group]
 * @property {number} [x-step]
 */

/**
 * @typedef {"text"|"area"|"number"|"slider"|"seed"|"choice"|"choices"|"flag"|"colour"|"points"|
 *   "boxes"|"group"|"json"} Control
 */

/**
 * @typedef {object} Field
 * @property {string} path E.g. `style.size`.
 * @property {string} name The path's last part.
 * @property {string} label
 * @property {string} help
 * @property {Control} control
 * @property {Schema} schema Without alternatives.
 * @property {any} initial
 * @property {boolean} optional Whether null is allowed.
 * @property {boolean} required Whether it has no default.
 * @property {string} unit
 * @property {string} group Heading under which it is shown; empty for the main ones.
 * @property {Field[]} fields Of a group.
 */

/** The widest range of integers for which a slider makes sense. */
const WIDEST = 4096;
const EDGES = ["left", "top", "right", "bottom"];

/**
 * @param {Schema} schema Of all parameters.
 * @param {string} [within] Path of the object that it describes.
 * @returns {Field[]}
 */
export function fieldsOf(schema, within = "") {
  const required = schema.required ?? [];
  return Object.entries(schema.properties ?? {}).map(([name, own]) =>
    field(name, own, within, required.includes(name)),
  );
}

/**
 * @param {string} name
 * @param {Schema} whole
 * @param {string} within
 * @param {boolean} required
 * @returns {Field}
 */
function field(name, whole, within, required) {
  const choices = whole.anyOf ?? [];
  const others = choices.filter(({ type }) => type !== "null");
  // One kind of value, or none: that kind with what is said about the field itself.
  const schema = others.length === 1 ? { ...others[0], ...whole, anyOf: undefined } : whole;
  const path = within ? `${within}.${name}` : name;
  const control = controlOf(schema, name);
  const label = whole.title ?? name;
  return {
    path,
    name,
    label: label.charAt(0) + label.slice(1).toLowerCase(),
    help: whole.description ?? others[0]?.description ?? "",
    control,
    schema,
    initial: whole.default,
    optional: choices.length > others.length,
    required,
    unit: schema["x-unit"] ?? "",
    group: schema["x-group"] ?? "",
    fields: control === "group" ? fieldsOf(schema, path) : [],
  };
}

/**
 * @param {Schema} schema
 * @param {string} name
 * @returns {Control}
 */
function controlOf(schema, name) {
  const widget = schema["x-widget"];
  if (widget === "seed" || widget === "colour") return widget;
  if (schema.enum || schema.const !== undefined) return "choice";
  switch (schema.type) {
    case "boolean":
      return "flag";
    case "string":
      return widget === "area" ? "area" : "text";
    case "integer":
    case "number":
      return slides(schema) ? "slider" : "number";
    case "object":
      return schema.properties ? "group" : "json";
    case "array":
      return arrayControl(schema, name);
    default:
      return "json";
  }
}

/**
 * @param {Schema} schema
 * @param {string} name
 * @returns {Control}
 */
function arrayControl({ items, prefixItems }, name) {
  if (typeof items !== "object" || prefixItems) return "json";
  if (items.enum) return "choices";
  const { properties } = items;
  if (properties?.x && properties.y) return "points";
  if (properties && EDGES.every((edge) => edge in properties)) return "boxes";
  const pair = items.prefixItems?.length ?? 0;
  return /point/.test(name) && items.type === "array" && pair >= 2 && pair <= 3 ? "points" : "json";
}

/** @param {Schema} schema */
function slides(schema) {
  const { low, high } = range(schema);
  if (low === undefined || high === undefined) return false;
  return schema["x-widget"] === "slider" || schema.type === "number" || high - low <= WIDEST;
}

/**
 * @param {Schema} schema Of a number.
 * @returns {{low?: number, high?: number, step: number}}
 */
export function range(schema) {
  const whole = schema.type === "integer";
  const edge = whole ? 1 : 0;
  const { exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  const low = schema.minimum ?? (above === undefined ? undefined : above + edge);
  const high = schema.maximum ?? (below === undefined ? undefined : below - edge);
  const given = schema["x-step"] ?? schema.multipleOf;
  return { low, high, step: given ?? (whole ? 1 : finest((high ?? 1) - (low ?? 0))) };
}

/** A round step of which there are some hundred in a range. @param {number} width */
function finest(width) {
  return 10 ** Math.floor(Math.log10((width || 1) / 50));
}

/**
 * How a list of points is written; `label` names the property for "part of it or not".
 * @typedef {object} PointShape
 * @property {boolean} objects Objects with x and y, or lists of numbers.
 * @property {string} label Empty where points have none.
 * @property {boolean} flags Labels are true and false, or 1 and 0.
 * @property {boolean} shares Coordinates are shares of the picture, or pixels.
 * @property {boolean} numbered A property `object` tells which object a point is for.
 */

/**
 * @param {Schema} schema Of a field with the control `points`.
 * @returns {PointShape}
 */
export function pointShape({ items }) {
  const item = /** @type {Schema} */ (items);
  const { properties, prefixItems } = item;
  if (!properties) {
    const label = (prefixItems?.length ?? 2) > 2 ? "2" : "";
    const shares = prefixItems?.[0].maximum === 1;
    return { objects: false, label, flags: false, shares, numbered: false };
  }
  const label = Object.keys(properties).find((key) => !["x", "y", "object"].includes(key)) ?? "";
  return {
    objects: true,
    label,
    flags: properties[label]?.type === "boolean",
    shares: properties.x.maximum === 1,
    numbered: "object" in properties,
  };
}

/**
 * How a list of boxes is written: objects with left, top, right and bottom in pixels.
 * @typedef {object} BoxShape
 * @property {boolean} numbered A property `object` tells which object a box is for.
 * @property {number} most How many boxes there may be.
 */

/**
 * @param {Schema} schema Of a field with the control `boxes`.
 * @returns {BoxShape}
 */
export function boxShape({ items, maxItems = Infinity }) {
  const { object } = /** @type {Schema} */ (items).properties ?? {};
  return { numbered: object !== undefined, most: Math.min(maxItems, object?.maximum ?? Infinity) };
}
