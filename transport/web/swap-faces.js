/** The faces that are put in: the user's pictures, and what the server calls them. No DOM. */

import { Problem } from "./problem.js";

/** As many as a stream takes. */
const MOST_FACES = 16;

/** What the server says of an upload, in the words for sound or none at all. */
const PICTURE_KINDS = /** @type {Record<string, string>} */ ({
  UploadTooLarge: "PictureTooLarge",
  BrokenUpload: "PictureError",
});

/**
 * @typedef {object} SwapFace
 * @property {File} picture
 * @property {string} id By which the server knows the picture; empty while it is being sent.
 * @property {import("./api.js").Box[]} boxes Of its faces, from left to right.
 * @property {number} index Which of them is put in, from 0.
 */

/** Emits `change` when faces came, went or became others. */
export class SwapFaces extends EventTarget {
  #api;
  /** @type {SwapFace[]} */
  #faces = [];

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.#api = api;
  }

  /** In the order in which they are put in, those on their way included. */
  get all() {
    return [...this.#faces];
  }

  /** Those that the server has. */
  get ready() {
    return this.#faces.filter(({ id }) => id);
  }

  /** As a stream takes them. @returns {import("./api.js").StreamFace[]} */
  get wish() {
    return this.ready.map(({ id, index }) => ({ face: id, index }));
  }

  /** Which face of each picture is put in. @returns {Map<SwapFace, number>} */
  get chosen() {
    return new Map(this.ready.map((face) => [face, face.index]));
  }

  /**
   * Sends a picture; it is only kept when there is a face in it.
   * @param {File} picture
   * @throws {Problem}
   */
  async add(picture) {
    if (this.#faces.length >= MOST_FACES) throw new Problem("TooManyFaces");
    /** @type {SwapFace} */
    const face = { picture, id: "", boxes: [], index: 0 };
    this.#become([...this.#faces, face]);
    try {
      const kept = await this.#send(face);
      if (!this.#faces.includes(face)) this.#forget(face);
      face.index = kept.chosen;
      this.#become(this.#faces);
    } catch (error) {
      this.#become(this.#faces.filter((other) => other !== face));
      throw error;
    }
  }

  /** @param {SwapFace} face */
  remove(face) {
    this.#become(this.#faces.filter((other) => other !== face));
    if (face.id) this.#forget(face);
  }

  /**
   * Puts in another face of the same picture.
   * @param {SwapFace} face
   * @param {number} index
   */
  choose(face, index) {
    face.index = index;
    this.#become(this.#faces);
  }

  /**
   * Goes back to what `chosen` was; pictures that came since stay if they were not tried.
   * @param {Map<SwapFace, number>} before
   * @param {Map<SwapFace, number>} tried What `chosen` was when it turned out to be wrong.
   */
  goBack(before, tried) {
    for (const face of tried.keys()) face.index = before.get(face) ?? face.index;
    this.#become(this.#faces.filter((face) => before.has(face) || !tried.has(face)));
  }

  /**
   * Makes a call that names faces. A server that was restarted has forgotten them: they are sent
   * again, and the call is made anew.
   * @param {() => Promise<void>} call
   * @throws {Problem}
   */
  async naming(call) {
    try {
      await call();
    } catch (error) {
      if (Problem.from(error).kind !== "FaceNotFound") throw error;
      for (const face of this.ready) await this.#send(face);
      await call();
    }
  }

  /**
   * @param {SwapFace} face
   * @returns {Promise<import("./api.js").KeptFaces>}
   */
  async #send(face) {
    try {
      const kept = await this.#api.addFace(face.picture);
      face.id = kept.id;
      face.boxes = kept.faces.map(({ box }) => box);
      return kept;
    } catch (error) {
      const { kind, description, status, retryAfter } = Problem.from(error);
      throw new Problem(PICTURE_KINDS[kind] ?? kind, description, { status, retryAfter });
    }
  }

  /** @param {SwapFace} face */
  #forget({ id }) {
    // A picture that is not deleted is forgotten by the server itself.
    this.#api.removeFace(id).catch(() => undefined);
  }

  /** @param {SwapFace[]} faces */
  #become(faces) {
    this.#faces = faces;
    this.dispatchEvent(new Event("change"));
  }
}
