/** A live picture and its sound: playing, keeping the last one while reconnecting, full screen. */

export class Picture {
  #root;
  #kept;

  /**
   * @param {HTMLElement} root What fills the screen; `data-picture` says when one is kept.
   * @param {HTMLVideoElement} video
   * @param {HTMLCanvasElement} kept Lies over the video.
   */
  constructor(root, video, kept) {
    this.#root = root;
    this.#kept = kept;
    this.video = video;
    // Safari starts videos by itself only when these are set as properties too.
    video.muted = true;
    video.playsInline = true;
  }

  /**
   * Without sound at first, which browsers allow sooner.
   * @param {MediaStream} stream
   * @returns {Promise<boolean>} False when the browser wants a click before it plays.
   */
  async play(stream) {
    this.video.muted = true;
    this.video.srcObject = stream;
    return this.resume();
  }

  /**
   * @returns {Promise<boolean>} False when the browser wants a click before it plays.
   */
  async resume() {
    if (!this.video.srcObject) return true;
    try {
      await this.video.play();
      return true;
    } catch (error) {
      // AbortError: another stream took this one's place.
      return !(error instanceof DOMException && error.name === "NotAllowedError");
    }
  }

  /**
   * Lets the sound be heard; the picture goes on either way.
   * @returns {Promise<boolean>} False when the browser wants a click before there is sound.
   */
  async unmute() {
    this.video.muted = false;
    if (await this.resume()) return true;
    this.video.muted = true;
    await this.resume();
    return false;
  }

  /** Keeps the picture that is on the screen: browsers drop it when the stream closes. */
  keep() {
    const { videoWidth, videoHeight } = this.video;
    // Only the first time: after that the element shows nothing any more.
    if (!videoWidth || !this.#kept.hidden) return;
    this.#kept.width = videoWidth;
    this.#kept.height = videoHeight;
    this.#kept.getContext("2d")?.drawImage(this.video, 0, 0);
    this.#kept.hidden = false;
    this.#root.dataset.picture = "kept";
  }

  dropKept() {
    this.#kept.hidden = true;
    delete this.#root.dataset.picture;
  }

  clear() {
    this.video.srcObject = null;
    this.dropKept();
  }

  toggleFullscreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (this.#root.requestFullscreen) return this.#root.requestFullscreen();
    // iPhones put only the video itself on the full screen.
    const phone = /** @type {{webkitEnterFullscreen?: () => void}} */ (this.video);
    return phone.webkitEnterFullscreen?.();
  }
}
