/** Parts that several views of the studio use. */

import { el, svg } from "./dom.js";
import { t } from "./i18n.js";
import { words } from "./words.js";

/**
 * What went wrong, in one text; kinds that the page has no words for are said by the server.
 * @param {import("./problem.js").Problem} problem
 */
export function problemWords(problem) {
  const { title, advice } = words(problem);
  const known = title !== t("error.unknown");
  return known || !problem.description ? `${title} ${advice}` : problem.description;
}

/** Paths of the icons, in a square of 20. */
const ICONS = {
  cancel: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  remove: "M4 6h12M8 6V4h4v2M5.5 6l.8 10h7.4l.8-10M8.5 9v4.5M11.5 9v4.5",
  up: "M10 15.5v-11M5.5 9L10 4.5 14.5 9",
  front: "M10 16.5v-9M5.5 12L10 7.5 14.5 12M5 4h10",
  pause: "M7.5 5v10M12.5 5v10",
  resume: "M7 4.8v10.4l8-5.2z",
  download: "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
  use: "M3.5 10h9M9 6.5l3.5 3.5L9 13.5M12.5 4H16v12h-3.5",
  again: "M15.5 7A6.2 6.2 0 1 0 16 11.5M15.8 3.5V7.2h-3.7",
  copy: "M7.5 7.5h8v8h-8zM4.5 12.5v-8h8",
  edit: "M4 16l.7-3.2L13 4.5l2.5 2.5-8.3 8.3z",
};

/** @typedef {keyof typeof ICONS} Icon */

/**
 * A button that is only an icon; its name is said and shown as a tooltip.
 * @param {Icon} name
 * @param {string} text
 * @param {() => void} act
 */
export function iconButton(name, text, act) {
  const node = el(
    "button",
    { type: "button", class: "round small", title: text, "aria-label": text, "data-do": name },
    icon(name),
  );
  node.addEventListener("click", act);
  return node;
}

/** @param {Icon} name */
export function icon(name) {
  const attributes = { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" };
  return svg("svg", attributes, svg("path", { d: ICONS[name] }));
}

/** A button that copies a text and says so. @param {string} text */
export function copyButton(text) {
  const node = el("button", { type: "button", class: "link", "data-do": "copy" }, t("copy"));
  node.addEventListener("click", async () => {
    node.textContent = t((await copy(text)) ? "copy.done" : "copy.failed");
    node.addEventListener("blur", () => node.replaceChildren(t("copy")), { once: true });
  });
  return node;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} Whether it is in the clipboard.
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages without https have no such clipboard, but the old command.
    const box = /** @type {HTMLTextAreaElement} */ (el("textarea", { class: "unseen" }));
    (document.querySelector("dialog[open]") ?? document.body).append(box);
    box.value = text;
    box.select();
    const copied = document.execCommand("copy");
    box.remove();
    return copied;
  }
}
