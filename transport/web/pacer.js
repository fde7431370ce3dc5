/** A task that is asked for more often than it can be done. No DOM in here. */

import { pause } from "./backoff.js";

export class Pacer {
  #task;
  #pauseMs;
  #wanted = false;
  #busy = false;

  /**
   * @param {() => Promise<void>} task Must not throw.
   * @param {number} pauseMs Between two runs.
   */
  constructor(task, pauseMs) {
    this.#task = task;
    this.#pauseMs = pauseMs;
  }

  /** Runs the task, at once or after the run that is under way; once for all who ask until then. */
  async ask() {
    this.#wanted = true;
    if (this.#busy) return;
    this.#busy = true;
    while (this.#wanted) {
      this.#wanted = false;
      await this.#task();
      await pause(this.#pauseMs, []);
    }
    this.#busy = false;
  }
}
