/** What is marked on a picture: points and boxes, in the order in which they came. No DOM. */

import { boxBetween, boxParameters, boxesIn, freeNumber, objectAt } from "./studio-boxes.js";
import { pointParameters, pointsIn } from "./studio-points.js";
import { boxShape } from "./studio-schema.js";

/** Changes that can be taken back. */
const UNDOS = 100;

/** @typedef {import("./studio-points.js").Point} Point */
/** @typedef {import("./studio-boxes.js").Box} Box */
/** @typedef {import("./studio-schema.js").Field} Field */
/** @typedef {{points: Field|null, boxes: Field|null}} MarkFields The parameters they are for. */
/** @typedef {{x: number, y: number}} Place In pixels of the picture. */

/** Emits `change`. */
export class Marks extends EventTarget {
  #fields;
  #size;
  /** @type {(Point|Box)[]} */
  #list = [];
  /** @type {(Point|Box)[][]} */
  #past = [];
  /** Whether clicks add points that are not meant. */
  negative = false;

  /**
   * @param {MarkFields} fields
   * @param {() => {width: number, height: number}} size Of the picture.
   */
  constructor(fields, size) {
    super();
    this.#fields = fields;
    this.#size = size;
  }

  get points() {
    return this.#list.flatMap((mark) => (isBox(mark) ? [] : [mark]));
  }

  get boxes() {
    return this.#list.filter(isBox);
  }

  get size() {
    return this.#size();
  }

  get empty() {
    return this.#list.length === 0;
  }

  /** Whether there is anything to take back. */
  get undoable() {
    return this.#past.length > 0;
  }

  /** Whether points are taken. */
  get pointable() {
    return this.#fields.points !== null;
  }

  /** How many boxes there may be. */
  get mostBoxes() {
    const { boxes } = this.#fields;
    return boxes ? boxShape(boxes.schema).most : 0;
  }

  /** Begins anew, for another picture. */
  reset() {
    this.#past = [];
    this.#show([]);
  }

  clear() {
    if (!this.empty) this.#change([]);
  }

  undo() {
    const before = this.#past.pop();
    if (before) this.#show(before);
  }

  /** Removes what was added last. */
  removeLast() {
    const last = this.#list.at(-1);
    if (last) this.remove(last);
  }

  /** @param {Point|Box} mark */
  remove(mark) {
    const rest = this.#list.filter((one) => one !== mark);
    // The points of a box that is gone are for another one, or for the only object.
    const gone = isBox(mark) ? mark.object : 0;
    this.#change(
      rest.map((one) => (isBox(one) || one.object !== gone ? one : { ...one, object: undefined })),
    );
  }

  /**
   * @param {Place} place
   * @param {boolean} other The opposite of what clicks add.
   */
  addPoint({ x, y }, other) {
    if (this.pointable) this.#change([...this.#list, { x, y, meant: this.negative === other }]);
  }

  /**
   * Where there can be no more boxes, it takes the place of the newest.
   * @param {Place} one Corner.
   * @param {Place} other The opposite one.
   */
  addBox(one, other) {
    const newest = this.boxes[this.mostBoxes - 1];
    const rest = this.#list.filter((mark) => mark !== newest);
    const box = { ...boxBetween(one, other, this.#size()), object: freeNumber(rest) };
    this.#change([...rest, box]);
  }

  /**
   * @param {Box} box
   * @param {Place} one Corner.
   * @param {Place} other The opposite one.
   */
  resize(box, one, other) {
    const changed = { ...box, ...boxBetween(one, other, this.#size()) };
    this.#change(this.#list.map((mark) => (mark === box ? changed : mark)));
  }

  /**
   * As parameters say them.
   * @param {import("./studio-schema.js").Schema} schema Of all parameters.
   * @returns {Record<string, any>}
   */
  parameters(schema) {
    const { points: pointField, boxes: boxField } = this.#fields;
    const { points, boxes } = this;
    const numbered = points.map((point) => ({
      ...point,
      object: point.object ?? objectAt(point, boxes),
    }));
    return {
      ...(pointField && points.length
        ? pointParameters(numbered, pointField, this.#size(), schema)
        : {}),
      ...(boxField && boxes.length ? boxParameters(boxes, boxField) : {}),
    };
  }

  /** The other way round. @param {Record<string, any>} params */
  load(params) {
    const { points, boxes } = this.#fields;
    const size = this.#size();
    const around = boxes ? boxesIn(params, boxes, size) : [];
    const clicked = (points ? pointsIn(params, points, size) : []).map((point) =>
      // Further boxes may take what is for the object that it would be for anyway.
      point.object === objectAt(point, around) ? { ...point, object: undefined } : point,
    );
    this.#change([...around, ...clicked]);
  }

  /** @param {(Point|Box)[]} list */
  #change(list) {
    this.#past = [...this.#past, this.#list].slice(-UNDOS);
    this.#show(list);
  }

  /** @param {(Point|Box)[]} list */
  #show(list) {
    this.#list = list;
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {Point|Box} mark @returns {mark is Box} */
function isBox(mark) {
  return "left" in mark;
}
