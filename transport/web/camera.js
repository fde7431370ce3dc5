/** The browser's camera: opening it, which ones there are, and what can go wrong. */

import { Problem } from "./problem.js";
import { Stamper } from "./stamper.js";

const FPS = 30;

/** What browsers call it, and what it means. */
const KINDS = /** @type {Record<string, string>} */ ({
  NotAllowedError: "CameraDenied",
  SecurityError: "CameraDenied",
  NotFoundError: "CameraMissing",
  OverconstrainedError: "CameraMissing",
  NotReadableError: "CameraBusy",
  AbortError: "CameraBusy",
});

/**
 * @typedef {object} CameraWish
 * @property {string} deviceId Empty for the browser's choice.
 * @property {number} width Wished for; the camera may not have it.
 * @property {number} height
 */

/** An open camera. Emits `lost` when it goes away by itself: unplugged, or permission withdrawn. */
export class Camera extends EventTarget {
  #source;

  /** @param {MediaStream} stream With one video track. */
  constructor(stream) {
    super();
    this.stream = stream;
    [this.#source] = stream.getVideoTracks();
    this.stamper = Stamper.possible ? new Stamper(this.#source) : null;
    /** What is to be sent. */
    this.track = this.stamper?.track ?? this.#source;
    // Motion matters more than sharpness: the encoder gives up size before frame rate.
    this.track.contentHint = "motion";
    this.#source.addEventListener("ended", () => this.dispatchEvent(new Event("lost")));
  }

  /** @returns {string} */
  get deviceId() {
    return this.#source.getSettings().deviceId ?? "";
  }

  /** Switches the camera off. */
  stop() {
    this.#source.stop();
    this.track.stop();
  }
}

/**
 * @param {CameraWish} wish
 * @returns {Promise<Camera>}
 * @throws {Problem}
 */
export async function openCamera({ deviceId, width, height }) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Problem(globalThis.isSecureContext ? "NoWebRTC" : "CameraInsecure");
  }
  const video = {
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: FPS, max: FPS },
    ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
  };
  try {
    return new Camera(await navigator.mediaDevices.getUserMedia({ video, audio: false }));
  } catch (error) {
    const { name, message } = /** @type {DOMException} */ (error);
    console.warn(`The camera cannot be opened: ${name}: ${message}`);
    throw new Problem(KINDS[name] ?? "CameraBusy");
  }
}

/**
 * @returns {Promise<MediaDeviceInfo[]>} Cameras; without names before one was opened.
 */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
}
