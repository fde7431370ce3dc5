/** Which utterance of a stream is said and which wait, by the server's events. No DOM in here. */

/** An answer may come after the events about what it names; so many of those are remembered. */
const REMEMBERED = 50;

/** @typedef {"idle"|"speaking"|"queued"} SpeechState */

export class Utterances {
  /** @type {string|null} */
  #current = null;
  /** @type {Set<string>} */
  #waiting = new Set();
  /** The last ones that have ended. @type {string[]} */
  #over = [];
  #asked = 0;

  /** @returns {SpeechState} `queued` while the first one is still being prepared. */
  get state() {
    if (this.#current !== null) return "speaking";
    return this.#waiting.size || this.#asked ? "queued" : "idle";
  }

  /** How many wait for their turn. */
  get waiting() {
    return this.#waiting.size;
  }

  /**
   * Follows a request that makes the server say something.
   * @template {{utterance: string}} T
   * @param {Promise<T>} request
   */
  async asked(request) {
    this.#asked += 1;
    try {
      this.queued((await request).utterance);
    } finally {
      this.#asked -= 1;
    }
  }

  /** @param {string} utterance */
  queued(utterance) {
    const known = utterance === this.#current || this.#over.includes(utterance);
    if (!known) this.#waiting.add(utterance);
  }

  /** @param {string} utterance */
  started(utterance) {
    this.#waiting.delete(utterance);
    this.#current = utterance;
  }

  /**
   * It may still be said as far as it was ready.
   * @param {string|null} utterance
   */
  failed(utterance) {
    if (utterance !== null && utterance !== this.#current) this.ended(utterance);
  }

  /** @param {string} utterance Was said to its end, or will not be said. */
  ended(utterance) {
    this.#waiting.delete(utterance);
    if (this.#current === utterance) this.#current = null;
    this.#over = [...this.#over, utterance].slice(-REMEMBERED);
  }
}
