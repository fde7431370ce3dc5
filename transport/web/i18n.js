/** The page's languages: texts, numbers and which one is shown. */

import { en } from "./i18n/en.js";
import { es } from "./i18n/es.js";

const STORAGE_KEY = "avatar-server.language";

/** @type {Record<string, Record<string, string>>} */
const TEXTS = { en, es };

/** Emits `change` when another language is chosen. */
class Language extends EventTarget {
  #code = preferred();

  /** @returns {string} e.g. `en` */
  get code() {
    return this.#code;
  }

  /** @param {string} code */
  set code(code) {
    if (!(code in TEXTS) || code === this.#code) return;
    this.#code = code;
    localStorage.setItem(STORAGE_KEY, code);
    translatePage();
    this.dispatchEvent(new Event("change"));
  }
}

export const language = new Language();

/**
 * A text in the page's language; `{name}` stands for a parameter.
 * @param {string} key
 * @param {Record<string, string|number>} [params]
 * @returns {string}
 */
export function t(key, params = {}) {
  const text = TEXTS[language.code][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(params[name] ?? whole));
}

/**
 * Adds the texts that only some pages have.
 * @param {Record<string, Record<string, string>>} texts By language.
 */
export function addTexts(texts) {
  for (const [code, more] of Object.entries(texts)) Object.assign(TEXTS[code], more);
}

/**
 * @param {string} key
 * @returns {boolean} Whether there is a text of this name.
 */
export function known(key) {
  return key in en;
}

/**
 * @param {number} value
 * @param {number} [digits] Digits after the decimal sign.
 * @returns {string}
 */
export function number(value, digits = 0) {
  return value.toLocaleString(language.code, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/**
 * A state's or action's name for people: its translation, or the name made readable.
 * @param {string} name
 * @returns {string}
 */
export function stateLabel(name) {
  const key = `state.${name}`;
  if (known(key)) return t(key);
  const words = name.replace(/[_-]+/g, " ").trim();
  return words.charAt(0).toLocaleUpperCase(language.code) + words.slice(1);
}

/**
 * Fills every `data-i18n` (text), `data-i18n-label` (aria-label, and a control's tooltip) and
 * `data-i18n-hint` (placeholder) in the page.
 */
export function translatePage() {
  document.documentElement.lang = language.code;
  for (const node of document.querySelectorAll("[data-i18n]")) {
    node.textContent = t(node.getAttribute("data-i18n") ?? "");
  }
  for (const node of document.querySelectorAll("[data-i18n-hint]")) {
    node.setAttribute("placeholder", t(node.getAttribute("data-i18n-hint") ?? ""));
  }
  for (const node of document.querySelectorAll("[data-i18n-label]")) {
    const text = t(node.getAttribute("data-i18n-label") ?? "");
    node.setAttribute("aria-label", text);
    if (node.matches("button, label")) node.setAttribute("title", text);
  }
}

/** The language chosen before, or the browser's first that there are texts for. */
function preferred() {
  const wanted = [localStorage.getItem(STORAGE_KEY) ?? "", ...navigator.languages];
  return wanted.map((tag) => tag.split("-")[0]).find((code) => code in TEXTS) ?? "en";
}
