/** Points on a picture, each meant or not, and how a generator's parameters say them. No DOM. */

import { pointShape } from "./studio-schema.js";

/**
 * @typedef {object} Point In pixels of the picture.
 * @property {number} x
 * @property {number} y
 * @property {boolean} meant
 * @property {number} [object] Number of the object that it is for, where that is said.
 */

/** Names of a list of labels beside the list of points. */
const LABELS = /^(point_)?labels$/;

/**
 * @param {Point[]} points
 * @param {import("./studio-schema.js").Field} field
 * @param {{width: number, height: number}} picture
 * @param {import("./studio-schema.js").Schema} schema Of all parameters.
 * @returns {Record<string, any>} Parameters.
 */
export function pointParameters(points, field, picture, schema) {
  const shape = pointShape(field.schema);
  const list = points.map(({ x, y, meant, object }) => {
    const place = shape.shares
      ? [x / picture.width, y / picture.height]
      : [Math.floor(x), Math.floor(y)];
    const label = shape.flags ? meant : Number(meant);
    if (!shape.objects) return shape.label ? [...place, label] : place;
    return {
      x: place[0],
      y: place[1],
      ...(shape.label ? { [shape.label]: label } : {}),
      ...(shape.numbered && object ? { object } : {}),
    };
  });
  const beside = Object.keys(schema.properties ?? {}).find((name) => LABELS.test(name));
  const labels = points.map(({ meant }) => Number(meant));
  return { [field.name]: list, ...(beside && !shape.label ? { [beside]: labels } : {}) };
}

/**
 * The other way round.
 * @param {Record<string, any>} params
 * @param {import("./studio-schema.js").Field} field
 * @param {{width: number, height: number}} picture
 * @returns {Point[]}
 */
export function pointsIn(params, field, picture) {
  const { objects, label, shares, numbered } = pointShape(field.schema);
  const list = params[field.name];
  if (!Array.isArray(list)) return [];
  const beside = Object.entries(params).find(([name]) => LABELS.test(name))?.[1];
  return list.map((point, n) => {
    const [x, y] = objects ? [point.x, point.y] : point;
    const said = label ? point[objects ? label : 2] : (beside?.[n] ?? 1);
    const [width, height] = shares ? [picture.width, picture.height] : [1, 1];
    const object = numbered ? point.object : undefined;
    return { x: x * width, y: y * height, meant: Boolean(said), object };
  });
}
