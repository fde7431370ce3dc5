/** What happens to the page itself: hidden, back on the network, left, brought back. */

/**
 * @typedef {object} PageEvents
 * @property {(visible: boolean) => void} visible
 * @property {() => void} online
 * @property {() => void} leave
 * @property {() => void} restore The page was left, kept by the browser, and is shown again.
 */

/** @param {PageEvents} events */
export function followPage({ visible, online, leave, restore }) {
  document.addEventListener("visibilitychange", () => visible(!document.hidden));
  window.addEventListener("online", online);
  // Browsers announce as kept (`persisted`) pages with a connection which they then drop, so that
  // leaving is always final; hiding or freezing a page does not fire this event.
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) restore();
  });
}
