/** The browser's microphone as raw samples, and what can go wrong. */

import { Problem } from "./problem.js";

const RATE = 48_000;
/** What the server takes. */
const RATES = [16_000, 24_000, RATE];

/** What browsers call it, and what it means. */
const KINDS = /** @type {Record<string, string>} */ ({
  NotAllowedError: "MicrophoneDenied",
  SecurityError: "MicrophoneDenied",
  NotFoundError: "MicrophoneMissing",
  OverconstrainedError: "MicrophoneMissing",
});

/**
 * An open microphone. Emits `pcm` (CustomEvent<ArrayBuffer>, s16le, mono, 20 ms at `rate`), and
 * `lost` when it goes away by itself: unplugged, or permission withdrawn.
 */
export class Microphone extends EventTarget {
  #stream;
  /** @type {AudioContext|null} */
  #context = null;
  /** Samples per second. */
  rate = RATE;

  /** @param {MediaStream} stream With one audio track. */
  constructor(stream) {
    super();
    this.#stream = stream;
    const [track] = stream.getAudioTracks();
    track.addEventListener("ended", () => this.dispatchEvent(new Event("lost")));
  }

  /** Begins to emit. */
  async start() {
    const { context, source } = attach(this.#stream);
    this.#context = context;
    this.rate = RATES.includes(context.sampleRate) ? context.sampleRate : RATE;
    await context.audioWorklet.addModule(new URL("./pcm-worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "pcm", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { rate: this.rate },
    });
    node.port.onmessage = ({ data }) => {
      if (this.#context) this.dispatchEvent(new CustomEvent("pcm", { detail: data }));
    };
    source.connect(node);
    await context.resume();
  }

  /** Switches the microphone off. */
  stop() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context?.close();
    this.#context = null;
  }
}

/**
 * @param {MediaStream} stream
 * @returns {{context: AudioContext, source: AudioNode}}
 */
function attach(stream) {
  const context = new AudioContext({ sampleRate: RATE });
  try {
    return { context, source: context.createMediaStreamSource(stream) };
  } catch (error) {
    // Firefox does not convert between the rates of a microphone and a context.
    console.debug("The microphone keeps its own rate:", error);
    context.close();
    const own = new AudioContext();
    return { context: own, source: own.createMediaStreamSource(stream) };
  }
}

/**
 * @returns {Promise<Microphone>} Already on.
 * @throws {Problem}
 */
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Problem(globalThis.isSecureContext ? "NoWebRTC" : "MicrophoneInsecure");
  }
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  /** @type {Microphone|null} */
  let microphone = null;
  try {
    microphone = new Microphone(await navigator.mediaDevices.getUserMedia({ audio }));
    await microphone.start();
    return microphone;
  } catch (error) {
    microphone?.stop();
    const { name, message } = /** @type {DOMException} */ (error);
    console.warn(`The microphone cannot be opened: ${name}: ${message}`);
    throw new Problem(KINDS[name] ?? "MicrophoneBusy");
  }
}
