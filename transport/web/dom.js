/** Small helpers around the document. */

/**
 * The element with this id; the page is wrong without it.
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`The page has no element #${id}`);
  return /** @type {T} */ (/** @type {unknown} */ (node));
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...Node} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * Shows a text, or hides the element when there is none.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function say(node, text) {
  // Unchanged text is left alone: live regions would read it again.
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text;
}

/**
 * Follows the CustomEvents of a name.
 * @template T
 * @param {EventTarget} target
 * @param {string} name
 * @param {(detail: T) => void} handler
 */
export function on(target, name, handler) {
  target.addEventListener(name, (event) => handler(/** @type {CustomEvent} */ (event).detail));
}
