/** The cards to choose an avatar from. */

import { byId, el, say, svg } from "./dom.js";
import { number, t } from "./i18n.js";

/** Emits `choose` (CustomEvent<string>, the avatar's id). */
export class AvatarCards extends EventTarget {
  #list = byId("avatars");
  #catalog;
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {string|null} */
  #chosen = null;

  /** @param {import("./catalog.js").Catalog} catalog */
  constructor(catalog) {
    super();
    this.#catalog = catalog;
  }

  /** @param {string|null} id */
  set chosen(id) {
    this.#chosen = id;
    this.render();
  }

  /** Writes everything anew; cards that stay keep their elements, and so the focus. */
  render() {
    const { avatars, loaded, declined } = this.#catalog;
    const none = loaded && avatars.length === 0;
    const hint = none ? `${t("avatars.none")} ${t("avatars.none.do")}` : t("avatars.loading");
    say(byId("avatars-hint"), (loaded && !none) || declined ? "" : hint);
    const ids = new Set(avatars.map(({ id }) => id));
    for (const [id, card] of this.#cards) {
      if (ids.has(id)) continue;
      card.root.remove();
      this.#cards.delete(id);
    }
    for (const avatar of avatars) {
      const card = this.#cards.get(avatar.id) ?? this.#add(avatar.id);
      card.show(avatar, this.#catalog.poster(avatar.id), avatar.id === this.#chosen);
    }
  }

  /** @param {string} id */
  #add(id) {
    const card = new Card(id, () => {
      if (this.#catalog.find(id)?.status === "failed") return;
      this.dispatchEvent(new CustomEvent("choose", { detail: id }));
    });
    this.#cards.set(id, card);
    this.#list.append(card.root);
    return card;
  }
}

class Card {
  #thumb = el("span", { class: "thumb", "aria-hidden": "true" });
  #name = el("span", { class: "name" });
  #note = el("span", { class: "note" });
  #bar = /** @type {HTMLProgressElement} */ (el("progress", { max: "1", "aria-hidden": "true" }));
  #button;
  root;

  /**
   * @param {string} id
   * @param {() => void} onPress
   */
  constructor(id, onPress) {
    const check = svg(
      "svg",
      { class: "check", viewBox: "0 0 20 20", "aria-hidden": "true" },
      svg("path", { d: "M4.5 10.5l3.8 3.8 7.4-8.2" }),
    );
    this.#button = el(
      "button",
      { type: "button", class: "card", "data-testid": `avatar-${id}` },
      this.#thumb,
      el("span", { class: "text" }, this.#name, this.#note, this.#bar),
      check,
    );
    this.#button.addEventListener("click", onPress);
    this.root = el("li", {}, this.#button);
  }

  /**
   * @param {import("./api.js").Avatar} avatar
   * @param {string|undefined} poster
   * @param {boolean} chosen
   */
  show(avatar, poster, chosen) {
    const { name, status, error } = avatar;
    this.#name.textContent = name;
    this.#button.setAttribute("aria-pressed", String(chosen));
    this.#button.setAttribute("aria-disabled", String(status === "failed"));
    this.#button.dataset.status = status;
    const note =
      status === "failed" && error
        ? `${statusText(avatar)}: ${error.description}`
        : statusText(avatar);
    say(this.#note, note);
    this.#note.classList.toggle("bad", status === "failed");
    this.#bar.hidden = status !== "compiling";
    this.#bar.value = avatar.progress;
    this.#picture(name, poster);
  }

  /**
   * @param {string} name
   * @param {string|undefined} poster
   */
  #picture(name, poster) {
    const image = this.#thumb.querySelector("img");
    if (!poster) this.#thumb.textContent = name.charAt(0).toUpperCase();
    else if (image?.getAttribute("src") !== poster) {
      this.#thumb.replaceChildren(el("img", { src: poster, alt: "" }));
    }
  }
}

/**
 * Whether an avatar can be played, in a few words.
 * @param {import("./api.js").Avatar} avatar
 * @returns {string}
 */
export function statusText({ status, progress, size, fps }) {
  if (status === "ready") {
    const [width, height] = size;
    return t("avatars.format", { width, height, fps: number(fps, fps % 1 ? 2 : 0) });
  }
  return t(`avatars.${status}`, { percent: number(Math.floor(progress * 100)) });
}
