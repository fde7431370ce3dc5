/**
 * A time of day in a picture: milliseconds as 16 black and white blocks at the lower left, followed
 * by the same 16 inverted, which tells it from anything else in a picture. A mirrored picture has it
 * at the lower right, backwards. It survives lossy coding, scaling and changes of brightness.
 */

const BITS = 16;
const RANGE = 2 ** BITS;
const BLOCKS = 2 * BITS;
/** A block's side is the picture's width by this; 8 pixels, a coding block, at 640. */
const PER_WIDTH = 80;
/** Pixels per block when reading, of which only the inner ones count. */
const SAMPLES = 4;
const DARK = 96;
const LIGHT = 160;

/** Within limited range, so that it is not clipped on its way. */
export const BLACK = 16;
export const WHITE = 235;

/** @typedef {{x: number, y: number, width: number, height: number, level: number}} Block */

/**
 * @param {number} at Milliseconds of `performance.now()`.
 * @param {number} width Of the picture, in pixels.
 * @param {number} height
 * @returns {Block[]} What is to be painted; `level` is a luma of 0 to 255.
 */
export function blocks(at, width, height) {
  const value = Math.round(at) % RANGE;
  const side = Math.round(width / PER_WIDTH);
  return Array.from({ length: BLOCKS }, (_, n) => {
    const x = Math.round((n * width) / PER_WIDTH);
    const bit = (value >> (BITS - 1 - (n % BITS))) & 1;
    const set = n < BITS ? bit : 1 - bit;
    const end = Math.round(((n + 1) * width) / PER_WIDTH);
    return { x, y: height - side, width: end - x, height: side, level: set ? WHITE : BLACK };
  });
}

/**
 * @param {number} now Milliseconds of `performance.now()`.
 * @param {number} value What was read.
 * @returns {number} Milliseconds since the code was painted, less than 65.5 s.
 */
export function since(now, value) {
  return (((now - value) % RANGE) + RANGE) % RANGE;
}

/** The aspect ratio of what is left of a picture when the code is cut off. */
export function visibleRatio(/** @type {number} */ width, /** @type {number} */ height) {
  return width / (height - Math.ceil(width / PER_WIDTH) - 2);
}

export class CodeReader {
  #context;
  #mirrored = false;

  constructor() {
    const canvas = new OffscreenCanvas(BLOCKS * SAMPLES, SAMPLES);
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /**
   * @param {HTMLVideoElement} video
   * @returns {number|null} Milliseconds, modulo 65536; null where there is no code.
   */
  read(video) {
    for (const mirrored of [this.#mirrored, !this.#mirrored]) {
      const value = this.#readAt(video, mirrored);
      if (value === null) continue;
      this.#mirrored = mirrored;
      return value;
    }
    return null;
  }

  /**
   * @param {HTMLVideoElement} video
   * @param {boolean} mirrored
   */
  #readAt(video, mirrored) {
    const { videoWidth, videoHeight } = video;
    const side = videoWidth / PER_WIDTH;
    const context = this.#context;
    if (!context || !videoWidth) return null;
    const [width, left] = [BLOCKS * side, mirrored ? videoWidth - BLOCKS * side : 0];
    const { canvas } = context;
    const area = /** @type {const} */ ([0, 0, canvas.width, canvas.height]);
    context.drawImage(video, left, videoHeight - side, width, side, ...area);
    const levels = lumas(context.getImageData(...area));
    return decode(mirrored ? levels.reverse() : levels);
  }
}

/**
 * @param {ImageData} image
 * @returns {number[]} Of the middle of each block.
 */
function lumas({ data, width }) {
  return Array.from({ length: BLOCKS }, (_, n) => {
    let sum = 0;
    for (const [x, y] of [[1, 1], [2, 1], [1, 2], [2, 2]]) {
      const at = 4 * (y * width + n * SAMPLES + x);
      sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
    }
    return sum / 4;
  });
}

/** @param {number[]} levels */
function decode(levels) {
  let value = 0;
  for (let n = 0; n < BITS; n += 1) {
    const set = levels[n] > levels[n + BITS];
    const [light, dark] = set ? [levels[n], levels[n + BITS]] : [levels[n + BITS], levels[n]];
    if (light < LIGHT || dark > DARK) return null;
    value = 2 * value + Number(set);
  }
  return value;
}
