/**
 * A camera's track with a time code in chosen pictures. The others pass untouched and uncopied.
 * Only where the browser lets pages at single pictures (`MediaStreamTrackProcessor`: Chromium).
 */

import { blocks } from "./timecode.js";

/** Pixel formats whose brightness can be written in place, and how far apart pixels are. */
const PIXEL_BYTES = /** @type {Record<string, number>} */ ({
  I420: 1,
  I422: 1,
  I444: 1,
  NV12: 1,
  RGBA: 4,
  RGBX: 4,
  BGRA: 4,
  BGRX: 4,
});

export class Stamper {
  #wanted = 0;

  static get possible() {
    return "MediaStreamTrackProcessor" in globalThis && "MediaStreamTrackGenerator" in globalThis;
  }

  /** @param {MediaStreamTrack} source */
  constructor(source) {
    const video = /** @type {MediaStreamVideoTrack} */ (source);
    const { readable } = new MediaStreamTrackProcessor({ track: video });
    /** What is to be sent; it ends with its source. */
    this.track = new MediaStreamTrackGenerator({ kind: "video" });
    readable
      .pipeThrough(new TransformStream({ transform: (frame, to) => this.#pass(frame, to) }))
      .pipeTo(this.track.writable)
      // A track that is stopped cancels its stream, which is how this ends.
      .catch(() => this.track.stop());
  }

  /** @param {number} count How many of the next pictures get a code, each its own time. */
  stamp(count) {
    this.#wanted = count;
  }

  /**
   * @param {VideoFrame} frame
   * @param {TransformStreamDefaultController<VideoFrame>} to
   */
  async #pass(frame, to) {
    const pixelBytes = PIXEL_BYTES[frame.format ?? ""];
    if (!this.#wanted || !pixelBytes) {
      to.enqueue(frame);
      return;
    }
    this.#wanted -= 1;
    const stamped = await withCode(frame, performance.now(), pixelBytes);
    frame.close();
    to.enqueue(stamped);
  }
}

/**
 * @param {VideoFrame} frame
 * @param {number} at
 * @param {number} pixelBytes
 * @returns {Promise<VideoFrame>}
 */
async function withCode(frame, at, pixelBytes) {
  const rect = frame.visibleRect ?? new DOMRectReadOnly();
  const bytes = new Uint8Array(frame.allocationSize());
  const layout = await frame.copyTo(bytes);
  const [{ offset, stride }] = layout;
  for (const { x, y, width, height, level } of blocks(at, rect.width, rect.height)) {
    for (let row = y; row < y + height; row += 1) {
      const start = offset + row * stride + x * pixelBytes;
      bytes.fill(level, start, start + width * pixelBytes);
    }
  }
  return new VideoFrame(bytes, {
    format: /** @type {VideoPixelFormat} */ (frame.format),
    codedWidth: rect.width,
    codedHeight: rect.height,
    layout,
    timestamp: frame.timestamp,
    duration: frame.duration ?? undefined,
    colorSpace: frame.colorSpace,
  });
}
