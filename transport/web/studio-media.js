/** Files of jobs as elements: pictures, videos, sound, texts; fetched only when they are seen. */

import { el } from "./dom.js";
import { size } from "./studio-format.js";

/** Fetched files that are kept, where files need a token. */
const KEPT = 60;
/** Texts are shown up to here. */
const MOST_TEXT = 200_000;

/** @typedef {import("./studio-api.js").JobFile} JobFile */

export class Media {
  #api;
  /** @type {Map<string, Promise<string>>} */
  #fetched = new Map();
  /** @type {WeakMap<Element, () => void>} */
  #waiting = new WeakMap();
  #seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.#seen.unobserve(target);
        this.#waiting.get(target)?.();
      }
    },
    { rootMargin: "200px" },
  );

  /** @param {import("./studio-api.js").StudioApi} api */
  constructor(api) {
    this.#api = api;
  }

  /**
   * An address that elements can load: the server's, or one of the fetched file.
   * @param {string} url
   * @returns {Promise<string>}
   */
  address(url) {
    if (!this.#api.guarded || url.startsWith("blob:")) return Promise.resolve(url);
    const known = this.#fetched.get(url) ?? this.#fetch(url);
    this.#fetched.delete(url);
    this.#fetched.set(url, known);
    return known;
  }

  /** @param {string} url @returns {Promise<Blob>} */
  blob(url) {
    return url.startsWith("blob:")
      ? fetch(url).then((response) => response.blob())
      : this.#api.blob(url);
  }

  /**
   * A small picture of a file or a symbol of its kind.
   * @param {JobFile|null} file
   */
  thumb(file) {
    if (file && isPicture(file)) return this.picture(file.url);
    if (file?.type.startsWith("video/")) return this.#sound("video", file.url, { muted: "" });
    const end = file ? (file.name.split(".").at(-1) ?? "") : "–";
    return el("span", { class: "symbol", "aria-hidden": "true" }, end.slice(0, 5));
  }

  /** A file as large as there is room. @param {JobFile} file */
  whole(file) {
    if (isPicture(file)) return this.picture(file.url);
    if (file.type.startsWith("video/")) return this.#sound("video", file.url, { controls: "" });
    if (file.type.startsWith("audio/")) return this.#sound("audio", file.url, { controls: "" });
    return this.#text(file);
  }

  /** @param {string} url */
  picture(url) {
    const node = /** @type {HTMLImageElement} */ (el("img", { alt: "", class: "checkered" }));
    this.#lazily(node, url);
    return node;
  }

  /** Saves a file on this computer. @param {JobFile} file */
  async save(file) {
    const guarded = this.#api.guarded;
    const joint = file.url.includes("?") ? "&" : "?";
    const href = guarded ? await this.address(file.url) : `${file.url}${joint}download=1`;
    const link = /** @type {HTMLAnchorElement} */ (el("a", { href, download: file.name }));
    link.click();
  }

  /**
   * @param {"video"|"audio"} tag
   * @param {string} url
   * @param {Record<string, string>} more
   */
  #sound(tag, url, more) {
    const node = el(tag, { preload: "metadata", playsinline: "", ...more });
    this.#lazily(node, url);
    return node;
  }

  /** @param {JobFile} file */
  #text({ url, bytes, name }) {
    const node = el("pre", { class: "text" });
    if (bytes > MOST_TEXT) {
      node.textContent = `${name} · ${size(bytes)}`;
      return node;
    }
    this.#later(node, async () => {
      node.textContent = await (await this.#api.blob(url)).text();
    });
    return node;
  }

  /**
   * @param {HTMLElement} node
   * @param {string} url
   */
  #lazily(node, url) {
    this.#later(node, async () => {
      node.setAttribute("src", await this.address(url));
    });
  }

  /**
   * @param {HTMLElement} node
   * @param {() => Promise<void>} load Called when the node comes into sight.
   */
  #later(node, load) {
    this.#waiting.set(node, () => {
      load().catch((error) => {
        node.dataset.missing = "true";
        console.debug("A file could not be shown:", error);
      });
    });
    this.#seen.observe(node);
  }

  /** @param {string} url */
  #fetch(url) {
    const made = this.#api.blob(url).then((blob) => URL.createObjectURL(blob));
    made.catch(() => this.#fetched.delete(url));
    if (this.#fetched.size >= KEPT) {
      const [oldest] = this.#fetched.keys();
      this.#fetched.get(oldest)?.then(URL.revokeObjectURL, () => undefined);
      this.#fetched.delete(oldest);
    }
    return made;
  }
}

/** @param {{type: string}} file */
export function isPicture({ type }) {
  return type.startsWith("image/");
}

/** The file by which a job is known. @param {import("./studio-api.js").Job} job */
export function cover({ files }) {
  return files.find(isPicture) ?? files.find(({ type }) => /^video/.test(type)) ?? files[0] ?? null;
}
