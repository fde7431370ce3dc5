/** Files that are dropped on a part of the page. */

/**
 * Takes files that are dropped on an element; while they are over it, it has `data-drop`.
 * @param {HTMLElement} place
 * @param {(files: FileList) => void} take
 * @param {() => boolean} [wanted] Whether files are taken now.
 */
export function followDrops(place, take, wanted = () => true) {
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => {
      const { dataTransfer } = /** @type {DragEvent} */ (event);
      if (!wanted() || !dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      dataTransfer.dropEffect = "copy";
      place.dataset.drop = "over";
    });
  }
  place.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!place.contains(/** @type {Node|null} */ (relatedTarget))) delete place.dataset.drop;
  });
  place.addEventListener("drop", (event) => {
    if (place.dataset.drop === undefined) return;
    event.preventDefault();
    delete place.dataset.drop;
    if (event.dataTransfer) take(event.dataTransfer.files);
  });
}
