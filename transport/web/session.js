/**
 * Keeps one avatar on the screen: opens a link, notices when it drops, opens the next. No DOM.
 *
 *     idle -> connecting -> connected <-> reconnecting
 *       ^         |                           |
 *       +---------+------- failed <-----------+
 */

import { backoffMs, pause } from "./backoff.js";
import { Link } from "./link.js";
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
 * Emits `phase` (PhaseInfo), `stream` (MediaStream), `stats` (LiveStats) and `message`
 * ({subject, payload}), each as the `detail` of a CustomEvent. A `phase` that leaves `connected`
 * is sent before the old connection is closed, while its last picture can still be kept.
 */
export class Session extends EventTarget {
  #api;
  /** @type {Link|null} */
  #link = null;
  /** @type {AbortController|null} */
  #run = null;
  #wake = new AbortController();
  #visible = true;

  /** @type {PhaseInfo} */
  info = { phase: "idle", problem: null, retryAt: null };
  /** @type {string|null} */
  avatarId = null;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.#api = api;
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

  /**
   * Connects to an avatar, leaving any other, and stays connected until `disconnect`.
   * @param {string} avatarId
   */
  connect(avatarId) {
    this.#stop();
    this.avatarId = avatarId;
    const run = new AbortController();
    this.#run = run;
    this.#enter("connecting");
    this.#keepConnected(avatarId, run.signal);
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

  /**
   * Asks for a state or an action.
   * @param {string} name
   * @throws {Problem} When the server refuses.
   */
  async setState(name) {
    await this.#link?.setState(name);
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

  /**
   * @param {string} avatarId
   * @param {AbortSignal} stopped
   */
  async #keepConnected(avatarId, stopped) {
    let failures = 0;
    let worked = false;
    while (!stopped.aborted) {
      let steadySince = Infinity;
      const problem = await this.#oneLink(avatarId, stopped, () => {
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
   * @param {string} avatarId
   * @param {AbortSignal} stopped
   * @param {() => void} onOpen
   * @returns {Promise<Problem>} Why it ended.
   */
  async #oneLink(avatarId, stopped, onOpen) {
    try {
      if (!("RTCPeerConnection" in globalThis)) throw new Problem("NoWebRTC");
      const link = new Link(this.#api, avatarId);
      this.#link = link;
      link.visible = this.#visible;
      for (const name of ["stream", "stats", "message"]) {
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
