/** A camera to the server and its processed picture back: an uplink and a link, ended together. */

import { Link } from "./link.js";
import { Uplink } from "./uplink.js";

const POLL_MS = 1000;

/**
 * @typedef {object} Figures
 * @property {import("./uplink.js").UplinkStats} up
 * @property {import("./api.js").PipelineFigures} pipeline
 * @property {import("./api.js").SwapSettings|null} swap Null while no faces are swapped.
 */

/**
 * Emits what a Link emits, and `figures` (Figures) about once a second, each as the `detail` of a
 * CustomEvent.
 */
export class CameraLink extends EventTarget {
  #api;
  #wish;
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
   * @param {import("./camera-wish.js").CameraWish} wish What is done to its pictures.
   */
  constructor(api, track, wish) {
    super();
    this.#api = api;
    this.#wish = wish;
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
    this.#poll = setInterval(() => this.#measure(), POLL_MS);
    const failed = this.#uplink.ended.then((problem) => Promise.reject(problem));
    const opened = this.#wish.create((wish) => this.#openLink({ source, ...wish }));
    await Promise.race([opened, failed]);
  }

  noteFrame() {
    this.#link?.noteFrame();
  }

  /**
   * @param {import("./api.js").StreamChange} change
   * @throws {import("./problem.js").Problem} When the server refuses; nothing has changed then.
   */
  async change(change) {
    const key = this.#link?.key;
    if (key) await this.#api.changeStream(key, change);
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

  /** @param {import("./api.js").StreamWish} wish */
  async #openLink(wish) {
    this.#link?.close();
    if (this.#closed) return;
    const link = new Link(this.#api, wish, { lowDelay: true });
    this.#link = link;
    link.visible = this.#visible;
    for (const name of ["stream", "stats", "message"]) {
      link.addEventListener(name, (event) => {
        this.#emit(name, /** @type {CustomEvent} */ (event).detail);
      });
    }
    await link.open();
  }

  async #measure() {
    const key = this.#link?.key;
    if (!key) return;
    try {
      const [up, info] = await Promise.all([this.#uplink.stats(), this.#api.streamInfo(key)]);
      const { pipeline, face_swap } = info;
      if (pipeline) this.#emit("figures", { up, pipeline, swap: face_swap?.settings ?? null });
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
