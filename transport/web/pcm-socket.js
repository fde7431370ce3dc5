/** Raw sound on its way to the server, to be said by the avatar while it is still being spoken. */

import { deferred } from "./deferred.js";
import { Problem } from "./problem.js";

/** Sound that waits in the browser; what comes while there is more of it is left out. */
const MOST_WAITING_S = 2;
const BYTES_PER_SAMPLE = 2;

/** Emits `trouble` (CustomEvent<Problem>): the server refuses the sound, or is gone. */
export class PcmSocket extends EventTarget {
  #socket;
  #opened = deferred();
  #rate = 0;

  /** @param {string} address */
  constructor(address) {
    super();
    this.#socket = new WebSocket(address);
    this.#socket.addEventListener("open", () => this.#opened.resolve());
    this.#socket.addEventListener("message", ({ data }) => this.#message(String(data)));
    this.#socket.addEventListener("close", () => this.#lost());
  }

  /** Settles when sound can be sent, or with the Problem that prevents it. */
  get opened() {
    return this.#opened.promise;
  }

  /** @returns {boolean} Whether it still leads anywhere. */
  get usable() {
    return this.#socket.readyState <= WebSocket.OPEN;
  }

  /** @param {number} rate Samples per second of what is sent next. */
  begin(rate) {
    this.#rate = rate;
    this.#tell({ type: "begin", rate });
  }

  /** @param {ArrayBuffer} pcm s16le, mono. */
  send(pcm) {
    const most = MOST_WAITING_S * this.#rate * BYTES_PER_SAMPLE;
    if (this.#socket.bufferedAmount <= most) this.#socket.send(pcm);
  }

  /** The utterance is complete. */
  end() {
    this.#tell({ type: "end" });
  }

  close() {
    this.#socket.close();
  }

  /** @param {object} message */
  #tell(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string} text JSON. */
  #message(text) {
    const { type, kind, description } = JSON.parse(text);
    if (type === "error") this.#complain(new Problem(kind, description));
  }

  #lost() {
    const problem = new Problem("SoundNotSent");
    this.#opened.reject(problem);
    this.#complain(problem);
  }

  /** @param {Problem} problem */
  #complain(problem) {
    this.dispatchEvent(new CustomEvent("trouble", { detail: problem }));
  }
}
