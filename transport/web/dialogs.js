/** The two dialogs: help, and the access token. */

import { byId } from "./dom.js";

/** Shows the keyboard shortcuts. */
export function showHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help-dialog"));
  if (!dialog.open) dialog.showModal();
}

/**
 * @param {boolean} rejected Whether the token given before was wrong.
 * @returns {Promise<string|null>} Null when the user declines.
 */
export function askToken(rejected) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("token-dialog"));
  const input = /** @type {HTMLInputElement} */ (byId("token"));
  input.value = "";
  // Not a submit button: the return key would press the first of those.
  byId("token-cancel").onclick = () => dialog.close();
  byId("token-wrong").hidden = !rejected;
  dialog.returnValue = "";
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "ok" ? input.value.trim() || null : null);
    dialog.addEventListener("close", closed, { once: true });
  });
}
