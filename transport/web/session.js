/**
 * Keeps one picture on the screen: opens a link, notices when it drops, opens the next. No DOM.
 *
 *     idle -> connecting -> connected <-> reconnecting
 *       ^         |                           |
 *       +---------+------- failed <-----------+
 */

import { backoffMs, pause } from "./backoff.js";
import { Problem, worthRetrying } from "./problem.js";

/** A connection that held this long makes the next drop a first failure again. */
const STEADY_MS = 5000;

/** @typedef {"idle"|"connecting"|"connected"|"reconnecting"|"failed"} Phase */

/**
 * @typedef {object} PhaseInfo
 * @property {Phase} phase
 * @property {Problem|null} problem What went wrong last, if anything.
 * @property {number|null} retryAt When the next attempt starts, by `performance.now()`.
 */

/**
 * One connection, as a session needs it: opened once, never back after its end.
 * @typedef {object} Connection
 * @property {() => Promise<void>} open
 * @property {Promise<Problem>} ended
 * @property {() => void} close
 * @property {() => void} noteFrame
 * @property {boolean} visible
 */

/** What a session hands on from its connection. */
const EVENTS = ["stream", "stats", "message", "figures"];

/**
 * Emits `phase` (PhaseInfo), and what its connection emits (`stream`, `stats`, `message`,
 * `figures`), each as the `detail` of a CustomEvent. A `phase` that leaves `connected`
 * is sent before the old connection is closed, while its last picture can still be kept.
 * @template {EventTarget & Connection} C
 */
export class Session extends EventTarget {
  #makeLink;
  /** @type {C|null} */
  #link = null;
  /** @type {AbortController|null} */
  #run = null;
  #wake = new AbortController();
  #visible = true;

  /** @type {PhaseInfo} */
  info = { phase: "idle", problem: null, retryAt: null };

  /** @param {() => C} makeLink Makes the next connection, not opened yet. */
  constructor(makeLink) {
    super();
    this.#makeLink = makeLink;
  }

  /** The connection, if there is one. @returns {C|null} */
  get link() {
    return this.#link;
  }

  /** @param {boolean} visible Whether anybody can see the page. */
  set visible(visible) {
    this.#visible = visible;
    if (this.#link) this.#link.visible = visible;
    if (visible) this.retryNow();
  }

  /** @returns {boolean} Whether there is a connection or one is being sought. */
  get active() {
    return this.#run !== null;
  }

  /** Connects, leaving any other connection, and stays connected until `disconnect`. */
  connect() {
    this.#stop();
    const run = new AbortController();
    this.#run = run;
    this.#enter("connecting");
    this.#keepConnected(run.signal);
  }

  /** Ends the session. */
  disconnect() {
    this.#stop();
    this.#enter("idle");
  }

  /** Cuts a waiting time before the next attempt short. */
  retryNow() {
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  /** A picture was seen on the screen. */
  noteFrame() {
    this.#link?.noteFrame();
  }

  #stop() {
    this.#run?.abort();
    this.#run = null;
    this.#link?.close();
    this.#link = null;
  }

  /** @param {AbortSignal} stopped */
  async #keepConnected(stopped) {
    let failures = 0;
    let worked = false;
    while (!stopped.aborted) {
      let steadySince = Infinity;
      const problem = await this.#oneLink(stopped, () => {
        worked = true;
        steadySince = performance.now();
        this.#enter("connected");
      });
      if (stopped.aborted) return;
      failures = performance.now() - steadySince > STEADY_MS ? 1 : failures + 1;
      if (!worthRetrying(problem, failures, worked)) {
        this.#run = null;
        this.#enter("failed", problem);
        this.#dropLink();
        return;
      }
      const wait = Math.max(backoffMs(failures), 1000 * (problem.retryAfter ?? 0));
      const retryAt = performance.now() + wait;
      this.#enter(worked ? "reconnecting" : "connecting", problem, retryAt);
      this.#dropLink();
      await pause(wait, [stopped, this.#wake.signal]);
      if (!stopped.aborted) this.#enter(this.info.phase, problem);
    }
  }

  /**
   * Opens a link and follows it to its end.
   * @param {AbortSignal} stopped
   * @param {() => void} onOpen
   * @returns {Promise<Problem>} Why it ended.
   */
  async #oneLink(stopped, onOpen) {
    try {
      if (!("RTCPeerConnection" in globalThis)) throw new Problem("NoWebRTC");
      const link = this.#makeLink();
      this.#link = link;
      link.visible = this.#visible;
      for (const name of EVENTS) {
        link.addEventListener(name, (event) => {
          this.#emit(name, /** @type {CustomEvent} */ (event).detail);
        });
      }
      await link.open();
      if (!stopped.aborted) onOpen();
      return await link.ended;
    } catch (error) {
      return Problem.from(error);
    }
  }

  #dropLink() {
    this.#link?.close();
    this.#link = null;
  }

  /**
   * @param {Phase} phase
   * @param {Problem|null} [problem]
   * @param {number|null} [retryAt]
   */
  #enter(phase, problem = null, retryAt = null) {
    this.info = { phase, problem, retryAt };
    this.#emit("phase", this.info);
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
