/** A camera to the server and its processed picture back: an uplink and a link, ended together. */

import { Link } from "./link.js";
import { Uplink } from "./uplink.js";

const POLL_MS = 1000;

/**
 * @typedef {object} Figures
 * @property {import("./uplink.js").UplinkStats} up
 * @property {import("./api.js").PipelineFigures} pipeline
 */

/**
 * Emits what a Link emits, and `figures` (Figures) about once a second, each as the `detail` of a
 * CustomEvent.
 */
export class CameraLink extends EventTarget {
  #api;
  #processors;
  #uplink;
  /** @type {Link|null} */
  #link = null;
  #visible = true;
  #closed = false;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #poll;

  /**
   * @param {import("./api.js").Api} api
   * @param {MediaStreamTrack} track
   * @param {string[]} processors In their order.
   */
  constructor(api, track, processors) {
    super();
    this.#api = api;
    this.#processors = processors;
    this.#uplink = new Uplink(api, track);
  }

  /** The Problem that ended it. */
  get ended() {
    const ends = [this.#uplink.ended];
    if (this.#link) ends.push(this.#link.ended);
    return Promise.race(ends);
  }

  /** @param {boolean} visible */
  set visible(visible) {
    this.#visible = visible;
    if (this.#link) this.#link.visible = visible;
  }

  /**
   * Sends the camera and waits for the first picture that comes back.
   * @throws {import("./problem.js").Problem} When there is none.
   */
  async open() {
    const source = await this.#uplink.open();
    if (this.#closed) return;
    const wish = { source, processors: this.#processors };
    const link = new Link(this.#api, wish, { lowDelay: true });
    this.#link = link;
    link.visible = this.#visible;
    for (const name of ["stream", "stats", "message"]) {
      link.addEventListener(name, (event) => {
        this.#emit(name, /** @type {CustomEvent} */ (event).detail);
      });
    }
    this.#poll = setInterval(() => this.#measure(), POLL_MS);
    const failed = this.#uplink.ended.then((problem) => Promise.reject(problem));
    await Promise.race([link.open(), failed]);
  }

  noteFrame() {
    this.#link?.noteFrame();
  }

  /**
   * @param {string[]} processors In their order.
   * @throws {import("./problem.js").Problem} When the server refuses; nothing has changed then.
   */
  async setProcessors(processors) {
    this.#processors = processors;
    const key = this.#link?.key;
    if (key) await this.#api.changeStream(key, { processors });
  }

  /**
   * Sends another camera from now on.
   * @param {MediaStreamTrack} track
   */
  async replaceTrack(track) {
    await this.#uplink.replaceTrack(track);
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#poll);
    this.#link?.close();
    this.#uplink.close();
  }

  async #measure() {
    const key = this.#link?.key;
    if (!key) return;
    try {
      const [up, info] = await Promise.all([this.#uplink.stats(), this.#api.streamInfo(key)]);
      if (info.pipeline) this.#emit("figures", { up, pipeline: info.pipeline });
    } catch (error) {
      // The link itself notices a server that is gone.
      console.debug("No figures:", error);
    }
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #emit(name, detail) {
    if (!this.#closed) this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
