/** Files and settings that are pasted anywhere on the page. */

/**
 * @param {object} takers
 * @param {(files: File[]) => boolean} takers.files Tells whether there is a place for them.
 * @param {(settings: {kind: string, params: Record<string, any>}) => void} takers.settings
 */
export function followPastes({ files, settings }) {
  document.addEventListener("paste", (event) => {
    const { clipboardData, target } = event;
    if (!clipboardData || document.querySelector("dialog[open]")) return;
    const pasted = [...clipboardData.files];
    if (pasted.length) {
      if (files(pasted)) event.preventDefault();
      return;
    }
    if (target instanceof Element && target.closest("input, textarea")) return;
    const found = parse(clipboardData.getData("text/plain"));
    if (!found) return;
    event.preventDefault();
    settings(found);
  });
}

/** @param {string} text */
function parse(text) {
  if (!text.trimStart().startsWith("{")) return null;
  try {
    const { kind, params } = JSON.parse(text);
    const fits = typeof kind === "string" && typeof params === "object" && params !== null;
    return fits ? { kind, params } : null;
  } catch {
    return null; // Some other text.
  }
}
