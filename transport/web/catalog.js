/** The server's avatars, kept up to date while the page is visible. No DOM elements in here. */

import { backoffMs, pause } from "./backoff.js";
import { Problem } from "./problem.js";

const COMPILING_MS = 1000;
const SETTLED_MS = 15000;

/**
 * Emits `change` when the avatars or their posters changed, and `trouble` (CustomEvent<Problem>)
 * when they can't be read; it goes on trying.
 */
export class Catalog extends EventTarget {
  #api;
  #wake = new AbortController();
  /** @type {Map<string, string>} */
  #posters = new Map();

  /** @type {import("./api.js").Avatar[]} */
  avatars = [];
  /** Whether the server has answered at least once. */
  loaded = false;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /**
   * @param {string|null} id
   * @returns {import("./api.js").Avatar|undefined}
   */
  find(id) {
    return this.avatars.find((avatar) => avatar.id === id);
  }

  /**
   * @param {string|undefined} id
   * @returns {string|undefined} Address of the avatar's poster, once it is here.
   */
  poster(id) {
    return id === undefined ? undefined : this.#posters.get(id);
  }

  /** Reads the list now. */
  refresh() {
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  /** Follows the list for as long as the page lives. */
  async follow() {
    let failures = 0;
    for (;;) {
      const wake = this.#wake.signal;
      try {
        this.#update(await this.#api.avatars());
        failures = 0;
      } catch (error) {
        failures += 1;
        this.dispatchEvent(new CustomEvent("trouble", { detail: Problem.from(error) }));
      }
      const busy = this.avatars.some(({ status }) => status === "compiling" || status === "waiting");
      const wait = failures ? backoffMs(failures + 1) : busy ? COMPILING_MS : SETTLED_MS;
      await pause(wait, [wake]);
      if (document.hidden) await visible();
    }
  }

  /** @param {import("./api.js").Avatar[]} avatars */
  #update(avatars) {
    const same = this.loaded && JSON.stringify(avatars) === JSON.stringify(this.avatars);
    this.avatars = avatars;
    this.loaded = true;
    if (!same) this.dispatchEvent(new Event("change"));
    for (const { id, poster } of avatars) {
      if (!poster) this.#posters.delete(id);
      else if (!this.#posters.has(id)) this.#loadPoster(id, poster);
    }
  }

  /**
   * Through the API, not as an image's address: it may want the access token.
   * @param {string} id
   * @param {string} path
   */
  async #loadPoster(id, path) {
    try {
      this.#posters.set(id, URL.createObjectURL(await this.#api.poster(path)));
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      console.warn(`No poster for ${id}:`, Problem.from(error).message);
    }
  }
}

/** @returns {Promise<void>} When somebody looks at the page again. */
function visible() {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", () => resolve(), { once: true });
  });
}
