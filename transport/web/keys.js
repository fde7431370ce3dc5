/** Single-key shortcuts, which can be switched off: speech input types by accident. */

import { byId } from "./dom.js";

const STORAGE_KEY = "avatar-server.shortcuts";

/**
 * @typedef {object} Shortcuts
 * @property {(n: number, at: number) => void} nth A digit from 1 to 9 was pressed, and when.
 * @property {() => void} connect
 * @property {() => void} fullscreen
 * @property {() => void} write
 * @property {() => void} hush
 * @property {() => void} mute
 * @property {() => void} help
 */

/** @param {Shortcuts} shortcuts */
export function listen(shortcuts) {
  const enabled = /** @type {HTMLInputElement} */ (byId("keys-enabled"));
  enabled.checked = localStorage.getItem(STORAGE_KEY) !== "off";
  enabled.addEventListener("change", () => {
    localStorage.setItem(STORAGE_KEY, enabled.checked ? "on" : "off");
  });
  document.addEventListener("keydown", (event) => {
    if (!enabled.checked || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]") || takesText(event.target)) return;
    if (run(shortcuts, event)) event.preventDefault();
  });
}

/**
 * @param {Shortcuts} shortcuts
 * @param {KeyboardEvent} event
 * @returns {boolean} Whether the key was one of ours.
 */
function run(shortcuts, { key, timeStamp }) {
  if (/^[1-9]$/.test(key)) shortcuts.nth(Number(key), timeStamp);
  else if (key === "?") shortcuts.help();
  else if (key.toLowerCase() === "c") shortcuts.connect();
  else if (key.toLowerCase() === "f") shortcuts.fullscreen();
  else if (key.toLowerCase() === "s") shortcuts.write();
  else if (key.toLowerCase() === "x") shortcuts.hush();
  else if (key.toLowerCase() === "m") shortcuts.mute();
  else return false;
  return true;
}

/** @param {EventTarget|null} target */
function takesText(target) {
  return (
    target instanceof Element &&
    target.closest("input, select, textarea, [contenteditable]") !== null
  );
}
