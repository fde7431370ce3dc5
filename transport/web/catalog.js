/** The server's avatars, kept up to date while the page is visible. No DOM elements in here. */

import { backoffMs, pause } from "./backoff.js";
import { Problem } from "./problem.js";

const COMPILING_MS = 1000;
const SETTLED_MS = 15000;
/** The longest that browsers' timers can wait. */
const UNTIL_REFRESH_MS = 2 ** 31 - 1;

/**
 * Emits `change` when the avatars or their posters changed, and `trouble` (CustomEvent<Problem>)
 * when they can't be read; it goes on trying, and emits `recovered` when they can again.
 */
export class Catalog extends EventTarget {
  #api;
  #wake = new AbortController();
  /**
   * By avatar: the server's path, which changes with the picture, and where it is kept here.
   * @type {Map<string, {path: string, url: string}>}
   */
  #posters = new Map();

  /** @type {import("./api.js").Avatar[]} */
  avatars = [];
  /** Whether the server has answered at least once. */
  loaded = false;
  /** Whether the user declined to give a token, so that the list is no longer being read. */
  declined = false;

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
    return id === undefined ? undefined : this.#posters.get(id)?.url;
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
        if (failures) this.dispatchEvent(new Event("recovered"));
        failures = 0;
        this.declined = false;
      } catch (error) {
        const problem = Problem.from(error);
        failures += 1;
        this.declined = problem.kind === "Unauthorized";
        this.dispatchEvent(new CustomEvent("trouble", { detail: problem }));
      }
      // Who has just declined to give a token is not asked again before they act.
      await pause(this.declined ? UNTIL_REFRESH_MS : this.#interval(failures), [wake]);
      if (document.hidden) await visible();
    }
  }

  /** @param {number} failures */
  #interval(failures) {
    if (failures) return backoffMs(failures + 1);
    const settled = this.avatars.every(({ status }) => status === "ready" || status === "failed");
    return settled ? SETTLED_MS : COMPILING_MS;
  }

  /** @param {import("./api.js").Avatar[]} avatars */
  #update(avatars) {
    const same = this.loaded && JSON.stringify(avatars) === JSON.stringify(this.avatars);
    this.avatars = avatars;
    this.loaded = true;
    if (!same) this.dispatchEvent(new Event("change"));
    for (const { id, poster } of avatars) {
      const kept = this.#posters.get(id);
      if (poster && kept?.path !== poster) this.#loadPoster(id, poster);
      if (!poster && kept) this.#keepPoster(id, null);
    }
  }

  /**
   * Through the API, not as an image's address: it may want the access token.
   * @param {string} id
   * @param {string} path
   */
  async #loadPoster(id, path) {
    try {
      const url = URL.createObjectURL(await this.#api.poster(path));
      this.#keepPoster(id, { path, url });
    } catch (error) {
      console.warn(`No poster for ${id}:`, Problem.from(error).message);
    }
  }

  /**
   * @param {string} id
   * @param {{path: string, url: string}|null} poster
   */
  #keepPoster(id, poster) {
    const before = this.#posters.get(id);
    if (poster) this.#posters.set(id, poster);
    else this.#posters.delete(id);
    this.dispatchEvent(new Event("change"));
    if (before) URL.revokeObjectURL(before.url);
  }
}

/** @returns {Promise<void>} When somebody looks at the page again. */
function visible() {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", () => resolve(), { once: true });
  });
}
