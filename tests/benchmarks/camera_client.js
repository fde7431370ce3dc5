// A canvas as the camera: moving noise with the time of drawing as a time code in every picture,
// sent and watched through the page's own modules.
window.camera = {
  async connect(processors) {
    const [{ Api }, { Http }, { CameraLink }, code] = await Promise.all(
      ["api", "http", "camera-link", "timecode"].map((name) => import(`/web/${name}.js`)),
    );
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
    const context = canvas.getContext("2d", { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    const noise = this.noise(canvas.width * 2, canvas.height);
    let drawn = 0;
    const draw = () => {
      context.drawImage(noise, -(drawn++ * 2) % canvas.width, 0);
      for (const { x, y, width, height, level } of code.blocks(performance.now(), 640, 480)) {
        context.fillStyle = `rgb(${level} ${level} ${level})`;
        context.fillRect(x, y, width, height);
      }
      track.requestFrame();
    };
    this.drawing = setInterval(draw, 1000 / 30);
    const link = new CameraLink(new Api(new Http(async () => null)), track, processors);
    const video = document.createElement("video");
    Object.assign(video, { muted: true, autoplay: true, playsInline: true });
    document.body.append(video);
    const reader = new code.CodeReader();
    this.readings = [];
    const look = (now, meta) => {
      const value = reader.read(video);
      const shown = Math.max(meta.presentationTime, meta.expectedDisplayTime);
      if (value !== null) {
        const received = meta.receiveTime ? code.since(meta.receiveTime, value) : null;
        this.readings.push([code.since(shown, value), received, code.since(now, value)]);
      }
      link.noteFrame();
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
    link.addEventListener("stream", ({ detail }) => { video.srcObject = detail; });
    link.addEventListener("figures", ({ detail }) => { this.figures = detail; });
    link.addEventListener("stats", ({ detail }) => { this.stats = detail; });
    await link.open();
    Object.assign(this, { link, video, track });
  },
  // A soft landscape of noise: as much detail as a room has, not white noise.
  noise(width, height) {
    const small = new OffscreenCanvas(width / 16, height / 16);
    const context = small.getContext("2d");
    const image = context.createImageData(small.width, small.height);
    let seed = 1;
    for (let at = 0; at < image.data.length; at += 1) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      image.data[at] = at % 4 === 3 ? 255 : 60 + ((seed >> 16) % 130);
    }
    context.putImageData(image, 0, 0);
    const large = new OffscreenCanvas(width, height);
    large.getContext("2d").drawImage(small, 0, 0, width, height);
    return large;
  },
  close() {
    clearInterval(this.drawing);
    this.link.close();
    this.track.stop();
    this.video.remove();
  },
};
