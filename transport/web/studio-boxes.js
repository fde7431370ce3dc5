/** Boxes on a picture, the points that belong to them, and how parameters say them. No DOM. */

import { boxShape } from "./studio-schema.js";

/** @typedef {import("./studio-points.js").Point} Point */

/**
 * @typedef {object} Box In whole pixels of the picture.
 * @property {number} left
 * @property {number} top
 * @property {number} right
 * @property {number} bottom
 * @property {number} object Number of the object in it; no two boxes have the same.
 */

/**
 * @param {{x: number, y: number}} one Corner.
 * @param {{x: number, y: number}} other The opposite one.
 * @param {{width: number, height: number}} picture Boxes end where it ends.
 * @returns {Omit<Box, "object">} With all pixels that it touches.
 */
export function boxBetween(one, other, { width, height }) {
  const [left, right] = span(one.x, other.x, width);
  const [top, bottom] = span(one.y, other.y, height);
  return { left, top, right, bottom };
}

/**
 * @param {Box[]} boxes
 * @param {import("./studio-schema.js").Field} field
 * @returns {Record<string, any>} Parameters.
 */
export function boxParameters(boxes, { name, schema }) {
  const { numbered } = boxShape(schema);
  return { [name]: boxes.map(({ object, ...edges }) => (numbered ? { ...edges, object } : edges)) };
}

/**
 * The other way round; what is outside the picture is left out.
 * @param {Record<string, any>} params
 * @param {import("./studio-schema.js").Field} field
 * @param {{width: number, height: number}} picture
 * @returns {Box[]}
 */
export function boxesIn(params, { name }, picture) {
  const list = params[name];
  if (!Array.isArray(list)) return [];
  return list.flatMap(({ left, top, right, bottom, object }, n) => {
    // Neither what is outside nor what is no number.
    if (!(left < picture.width && top < picture.height && right > left && bottom > top)) return [];
    const edges = boxBetween({ x: left, y: top }, { x: right, y: bottom }, picture);
    return [{ ...edges, object: object ?? n + 1 }];
  });
}

/**
 * @param {(Box|Point)[]} marks
 * @returns {number} The lowest number that no object has yet.
 */
export function freeNumber(marks) {
  const taken = new Set(marks.map(({ object }) => object));
  let number = 1;
  while (taken.has(number)) number += 1;
  return number;
}

/**
 * Which object a point is for where nothing says so: that of the smallest box around it, else that
 * of the nearest box.
 * @param {Point} point
 * @param {Box[]} boxes
 * @returns {number}
 */
export function objectAt(point, boxes) {
  const [nearest] = [...boxes].sort(
    (one, other) => distance(point, one) - distance(point, other) || area(one) - area(other),
  );
  return nearest?.object ?? 1;
}

/**
 * @param {number} one
 * @param {number} other
 * @param {number} most
 * @returns {[number, number]}
 */
function span(one, other, most) {
  const low = Math.min(most - 1, Math.max(0, Math.floor(Math.min(one, other))));
  return [low, Math.min(most, Math.max(low + 1, Math.ceil(Math.max(one, other))))];
}

/** @param {Point} point @param {Box} box Zero within it. */
function distance({ x, y }, { left, top, right, bottom }) {
  return Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
}

/** @param {Box} box */
function area({ left, top, right, bottom }) {
  return (right - left) * (bottom - top);
}
