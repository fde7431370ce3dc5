/** Turns the microphone's sound into what the server takes: s16le, mono, 20 ms at a time. */

/** Runs on the browser's audio thread; posts `ArrayBuffer`s of samples. */
class PcmWorklet extends AudioWorkletProcessor {
  #step;
  #block;
  #filled = 0;
  /** Where the next sample lies in the sound as it comes in, counted from the current quantum. */
  #position = 0;
  /** The last sample of the quantum before. */
  #before = 0;

  /** @param {{processorOptions: {rate: number}}} options The rate that is wanted. */
  constructor({ processorOptions: { rate } }) {
    super();
    this.#step = sampleRate / rate;
    this.#block = new Int16Array(rate / 50);
  }

  /**
   * @param {Float32Array[][]} inputs
   * @returns {boolean}
   */
  process([[samples]]) {
    if (!samples) return true;
    const last = samples.length - 1;
    for (; this.#position <= last; this.#position += this.#step) {
      const index = Math.floor(this.#position);
      const share = this.#position - index;
      const left = index < 0 ? this.#before : samples[index];
      const right = samples[Math.min(index + 1, last)];
      this.#put(share ? left + share * (right - left) : left);
    }
    this.#position -= samples.length;
    this.#before = samples[last];
    return true;
  }

  /** @param {number} sample */
  #put(sample) {
    this.#block[this.#filled] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
    this.#filled += 1;
    if (this.#filled < this.#block.length) return;
    this.port.postMessage(this.#block.slice().buffer);
    this.#filled = 0;
  }
}

registerProcessor("pcm", PcmWorklet);
