/** What the user wants of the camera's stream, and what of it the server does already. */

import { Problem } from "./problem.js";

/** @typedef {import("./api.js").StreamChange} StreamChange */

export class CameraWish {
  #processors;
  #swap;
  /** @type {Required<StreamChange>} */
  #done = { processors: [], face_swap: {} };
  /** The faces that a stream took. @type {Map<import("./swap-faces.js").SwapFace, number>} */
  #taken = new Map();

  /**
   * @param {import("./processors.js").ProcessorButtons} processors
   * @param {import("./face-swap.js").FaceSwap} swap
   */
  constructor(processors, swap) {
    this.#processors = processors;
    this.#swap = swap;
  }

  /**
   * Has a new stream made.
   * @param {(wish: {processors: string[], face_swap?: import("./api.js").SwapChange}) =>
   *   Promise<void>} make Called again where the server has forgotten the faces.
   */
  async create(make) {
    await this.#swap.faces.naming(async () => {
      const wish = this.#whole();
      const { chosen } = this.#swap.faces;
      await make(wish);
      this.#done = { face_swap: {}, ...wish };
      this.#taken = chosen;
    });
  }

  /**
   * Has the running stream changed, if it is to be.
   * @param {(change: StreamChange) => Promise<void>} patch See `create`.
   * @throws {Problem} When the server refuses. The page shows again what the server does then, as
   *   far as it can.
   */
  async change(patch) {
    const { chosen } = this.#swap.faces;
    let rest = /** @type {StreamChange|null} */ (null);
    try {
      await this.#swap.faces.naming(async () => {
        const whole = this.#whole();
        rest = this.#rest(whole);
        if (!rest) return;
        await patch(rest);
        const face_swap = { ...this.#done.face_swap, ...whole.face_swap };
        this.#done = { processors: whole.processors, face_swap };
        if (whole.face_swap) this.#taken = chosen;
      });
    } catch (error) {
      this.#processors.chosen = this.#done.processors;
      const wrong = Problem.from(error).status === 400;
      // A face that the server cannot use would be in the way of every later change.
      if (wrong && rest?.face_swap?.faces) this.#swap.faces.goBack(this.#taken, chosen);
      throw error;
    }
  }

  #whole() {
    const { chosen } = this.#processors;
    const swapped = chosen.includes("face_swap");
    return { processors: chosen, ...(swapped ? { face_swap: this.#swap.wish } : {}) };
  }

  /**
   * @param {StreamChange} whole
   * @returns {StreamChange|null} What of it the server does not do yet.
   */
  #rest({ processors, face_swap = {} }) {
    /** @type {Record<string, unknown>} */
    const done = { ...this.#done.face_swap };
    const changed = Object.entries(face_swap).filter(([name, value]) => !same(value, done[name]));
    const rest = {
      ...(same(processors, this.#done.processors) ? {} : { processors }),
      ...(changed.length ? { face_swap: Object.fromEntries(changed) } : {}),
    };
    return Object.keys(rest).length ? rest : null;
  }
}

/**
 * @param {unknown} one
 * @param {unknown} other
 */
function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}
