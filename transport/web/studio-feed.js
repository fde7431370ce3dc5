/** The server's events of all jobs. They come by `fetch`, as an EventSource can send no token. */

import { backoffMs, pause } from "./backoff.js";
import { Problem } from "./problem.js";

/** The server sends at least a comment each 15 s; a connection silent for longer is dead. */
const SILENCE_MS = 40_000;

/**
 * Emits `open` (events come again: what happened before has to be read anew), `lost`
 * (CustomEvent<Problem>) and `event` (CustomEvent<{name: string, data: any}>).
 */
export class Feed extends EventTarget {
  #api;
  /** @type {AbortController|null} */
  #running = null;
  #wake = new AbortController();

  /** @param {import("./studio-api.js").StudioApi} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** @param {boolean} wanted Whether events are followed; nothing runs while they are not. */
  set running(wanted) {
    if (wanted === Boolean(this.#running)) return;
    this.#running?.abort();
    this.#running = wanted ? new AbortController() : null;
    if (this.#running) void this.#follow(this.#running.signal);
  }

  get running() {
    return this.#running !== null;
  }

  /** Tries again at once, if it waits to. */
  hurry() {
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  /** @param {AbortSignal} stopped */
  async #follow(stopped) {
    let failures = 0;
    while (!stopped.aborted) {
      /** @type {unknown} */
      let why = new Problem("ServerUnreachable");
      try {
        await this.#once(stopped, () => {
          failures = 0;
        });
      } catch (error) {
        why = error;
      }
      if (stopped.aborted) return;
      failures += 1;
      const problem = why instanceof Problem ? why : new Problem("ServerUnreachable");
      this.dispatchEvent(new CustomEvent("lost", { detail: problem }));
      const wait = Math.max(backoffMs(failures), 1000 * (problem.retryAfter ?? 0));
      await pause(wait, [stopped, this.#wake.signal]);
    }
  }

  /**
   * @param {AbortSignal} stopped
   * @param {() => void} opened
   */
  async #once(stopped, opened) {
    const silent = new AbortController();
    const drop = () => silent.abort();
    let alarm = setTimeout(drop, SILENCE_MS);
    stopped.addEventListener("abort", drop);
    try {
      const { body } = await this.#api.events(silent.signal);
      opened();
      this.dispatchEvent(new Event("open"));
      const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
      const parser = new EventParser((name, data) => {
        this.dispatchEvent(new CustomEvent("event", { detail: { name, data } }));
      });
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(drop, SILENCE_MS);
        parser.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(alarm);
      stopped.removeEventListener("abort", drop);
    }
  }
}

/** Reads `text/event-stream` (HTML standard, section 9.2.6). */
class EventParser {
  #take;
  #rest = "";
  #name = "";
  #data = "";

  /** @param {(name: string, data: any) => void} take */
  constructor(take) {
    this.#take = take;
  }

  /** @param {string} text Some of the stream. */
  push(text) {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  /** @param {string} line */
  #line(line) {
    if (!line) {
      if (this.#data) this.#take(this.#name, JSON.parse(this.#data));
      this.#name = "";
      this.#data = "";
    } else if (line.startsWith("event:")) this.#name = line.slice(6).trim();
    else if (line.startsWith("data:")) this.#data += line.slice(5).trim();
  }
}
