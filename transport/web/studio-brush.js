/** A mask that is painted over a picture: strokes that can be taken back, and a PNG of them. */

/** Strokes that can be taken back; older ones are painted for good. */
const UNDOS = 100;
/** How masks are shown; the stylesheet makes them translucent. */
const PAINT = "#00e0b8";

/**
 * @typedef {object} Stroke
 * @property {{x: number, y: number}[]} points In pixels of the picture.
 * @property {number} width
 * @property {boolean} erases
 */

/** Emits `change` when what is painted changed. */
export class Brush extends EventTarget {
  #canvas;
  #context;
  /** What cannot be taken back any more. */
  #base = new OffscreenCanvas(1, 1);
  /** @type {Stroke[]} */
  #strokes = [];
  /** @type {Stroke|null} */
  #now = null;
  /** Diameter in pixels of the picture. */
  width = 40;
  erases = false;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.#canvas = canvas;
    this.#context = /** @type {CanvasRenderingContext2D} */ (
      canvas.getContext("2d", { willReadFrequently: true })
    );
  }

  /** Whether nothing is painted. */
  get empty() {
    const { width, height } = this.#canvas;
    const { data } = this.#context.getImageData(0, 0, width, height);
    for (let at = 3; at < data.length; at += 4) if (data[at] > 127) return false;
    return true;
  }

  /** Whether there is anything to take back. */
  get undoable() {
    return this.#strokes.length > 0;
  }

  /**
   * Begins anew, for a picture of this size.
   * @param {number} width
   * @param {number} height
   */
  reset(width, height) {
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#base = new OffscreenCanvas(width, height);
    this.#strokes = [];
    this.#now = null;
    this.#changed();
  }

  clear() {
    this.reset(this.#canvas.width, this.#canvas.height);
  }

  undo() {
    this.#strokes.pop();
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#context.drawImage(this.#base, 0, 0);
    for (const stroke of this.#strokes) draw(this.#context, stroke);
    this.#changed();
  }

  /** Begins a stroke, or goes on with it. @param {{x: number, y: number}} point */
  paint(point) {
    if (this.#now) this.#now.points.push(point);
    else this.#now = { points: [point], width: this.width, erases: this.erases };
    draw(this.#context, { ...this.#now, points: this.#now.points.slice(-2) });
  }

  /** Ends the stroke. */
  lift() {
    if (!this.#now) return;
    this.#strokes.push(this.#now);
    this.#now = null;
    if (this.#strokes.length > UNDOS) {
      const [oldest, ...rest] = this.#strokes;
      draw(/** @type {any} */ (this.#base.getContext("2d")), oldest);
      this.#strokes = rest;
    }
    this.#changed();
  }

  /** Takes over a mask that is there already. @param {ImageBitmap} mask White is meant. */
  load(mask) {
    const { width, height } = this.#canvas;
    this.reset(width, height);
    drawMask(this.#context, mask, width, height);
    this.#base.getContext("2d")?.drawImage(this.#canvas, 0, 0);
    this.#changed();
  }

  /** @returns {Promise<Blob>} White where it is painted, black elsewhere; of the picture's size. */
  png() {
    const { width, height } = this.#canvas;
    const whole = new OffscreenCanvas(width, height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (whole.getContext("2d"));
    const picture = this.#context.getImageData(0, 0, width, height);
    const { data } = picture;
    for (let at = 0; at < data.length; at += 4) {
      // Not grey at the edges: generators would have to choose a threshold.
      data.fill(data[at + 3] > 127 ? 255 : 0, at, at + 3);
      data[at + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
    return whole.convertToBlob({ type: "image/png" });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 */
function draw(context, { points, width, erases }) {
  context.save();
  context.globalCompositeOperation = erases ? "destination-out" : "source-over";
  context.strokeStyle = PAINT;
  context.lineWidth = width;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.beginPath();
  context.moveTo(points[0].x, points[0].y);
  // A line without length is a dot, thanks to its round ends.
  for (const { x, y } of points) context.lineTo(x, y);
  context.stroke();
  context.restore();
}

/**
 * Draws the white part of a mask in the colour of paint, over what is there.
 * @param {CanvasRenderingContext2D} context
 * @param {ImageBitmap} mask
 * @param {number} width
 * @param {number} height
 */
export function drawMask(context, mask, width, height) {
  const copy = new OffscreenCanvas(width, height);
  const own = /** @type {OffscreenCanvasRenderingContext2D} */ (copy.getContext("2d"));
  own.drawImage(mask, 0, 0, width, height);
  const picture = own.getImageData(0, 0, width, height);
  const { data } = picture;
  const paint = [1, 3, 5].map((at) => Number.parseInt(PAINT.slice(at, at + 2), 16));
  for (let at = 0; at < data.length; at += 4) {
    data[at + 3] = Math.round(
      (Math.max(data[at], data[at + 1], data[at + 2]) * data[at + 3]) / 255,
    );
    for (const [channel, value] of paint.entries()) data[at + channel] = value;
  }
  own.putImageData(picture, 0, 0);
  context.drawImage(copy, 0, 0);
}
