/** When which caption is to be read. Time comes in as milliseconds of one clock; no DOM in here. */

/** A caption stays for so long after its last word, unless the next one comes. */
const LINGER_MS = 900;
/** More utterances than a server lets wait. */
const MOST_AHEAD = 100;

/** @typedef {{text: string, start_ms: number, end_ms: number}} TimedWord */

/**
 * As the server sends it; times are since the utterance's start.
 * @typedef {TimedWord & {utterance: string, words: TimedWord[]}} Cue
 */

/** @typedef {{cue: Cue, from: number, until: number, late: boolean}} Planned */

/**
 * @typedef {object} Reading
 * @property {Cue} cue
 * @property {number} word The one being said, counting from 0; -1 before the first, and their
 *   number for a cue that came after its words.
 */

export class Cues {
  /** Of utterances that have not started. @type {Map<string, Cue[]>} */
  #ahead = new Map();
  /** @type {string|null} */
  #utterance = null;
  #startedAt = 0;
  /** @type {Planned[]} */
  #plan = [];

  /**
   * @param {string} utterance
   * @param {number} now
   */
  start(utterance, now) {
    this.#utterance = utterance;
    this.#startedAt = now;
    this.#plan = [];
    for (const cue of this.#ahead.get(utterance) ?? []) this.#place(cue, now);
    this.#ahead.delete(utterance);
  }

  /**
   * @param {Cue} cue Of an utterance that is being said, has just been, or will be.
   * @param {number} now
   */
  add(cue, now) {
    if (cue.utterance === this.#utterance) {
      this.#place(cue, now);
      return;
    }
    const cues = this.#ahead.get(cue.utterance) ?? [];
    this.#ahead.set(cue.utterance, [...cues, cue]);
    const [oldest] = this.#ahead.keys();
    if (this.#ahead.size > MOST_AHEAD) this.#ahead.delete(oldest);
  }

  /** @param {string} utterance Will not be said, or not to its end. */
  drop(utterance) {
    this.#ahead.delete(utterance);
    if (utterance === this.#utterance) this.#plan = [];
  }

  clear() {
    this.#ahead.clear();
    this.#utterance = null;
    this.#plan = [];
  }

  /**
   * @param {number} now
   * @returns {Reading|null} What is to be read.
   */
  at(now) {
    const time = now - this.#startedAt;
    const planned = this.#plan.findLast(({ from }) => from <= time);
    if (!planned || time >= planned.until) return null;
    const { cue, late } = planned;
    const word = cue.words.findLastIndex(({ start_ms }) => start_ms <= time);
    return { cue, word: late ? cue.words.length : word };
  }

  /**
   * @param {number} now
   * @returns {boolean} Whether anything is to be read now or later.
   */
  pending(now) {
    return this.#plan.some(({ until }) => now - this.#startedAt < until);
  }

  /**
   * @param {Cue} cue
   * @param {number} now
   */
  #place(cue, now) {
    const time = now - this.#startedAt;
    // What was made by listening comes when its words are already heard.
    const late = time >= cue.end_ms;
    const length = cue.end_ms - cue.start_ms;
    const last = this.#plan.at(-1);
    // Late ones that come together are read one after the other.
    const free = late && last?.late ? last.from + last.cue.end_ms - last.cue.start_ms : 0;
    const from = late ? Math.max(time, free) : cue.start_ms;
    this.#plan.push({ cue, from, until: from + length + LINGER_MS, late });
  }
}
