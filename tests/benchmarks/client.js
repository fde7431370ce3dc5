// A minimal viewer for the benchmarks: no page, no styles, only the connection and its clock.
window.viewer = {
  async connect(avatar, codec) {
    const began = performance.now();
    const post = (path, body) => fetch(path, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body),
    }).then(async (r) => { const j = await r.json(); if (!r.ok) throw new Error(j.description); return j; });
    const stream = await post("/streams", {video_id: avatar});
    const peer = new RTCPeerConnection({iceServers: stream.ice_servers});
    const video = document.createElement("video");
    video.muted = true; video.autoplay = true; video.playsInline = true;
    document.body.append(video);
    const frames = [];
    const first = new Promise((resolve) => {
      const note = (now, meta) => {
        frames.push([now, meta.rtpTimestamp, meta.presentedFrames, meta.expectedDisplayTime]);
        if (frames.length === 1) resolve(performance.now());
        for (const wait of [...waiting]) wait(now, meta);
        video.requestVideoFrameCallback(note);
      };
      video.requestVideoFrameCallback(note);
    });
    const waiting = new Set();
    const events = [];
    const onMessage = (e) => events.push([performance.now(), e.data]);
    peer.ondatachannel = (e) => { e.channel.onmessage = onMessage; };
    peer.ontrack = (e) => {
      if (e.track.kind !== "video") return;
      e.receiver.jitterBufferTarget = 0;
      video.srcObject = new MediaStream([e.track]);
    };
    peer.onicecandidate = (e) => {
      const c = e.candidate;
      post(`/streams/${stream.id}/ice`, c
        ? {candidate: c.candidate, sdpMid: c.sdpMid, sdpMLineIndex: c.sdpMLineIndex, session_id: stream.session_id}
        : {session_id: stream.session_id}).catch(() => {});
    };
    await peer.setRemoteDescription(stream.offer);
    if (codec) {
      const all = RTCRtpReceiver.getCapabilities("video").codecs;
      peer.getTransceivers()[0].setCodecPreferences(all.filter((c) => c.mimeType === codec));
    }
    const answer = await peer.createAnswer();
    await peer.setLocalDescription(answer);
    await post(`/streams/${stream.id}/sdp`, {answer: peer.localDescription.toJSON(), session_id: stream.session_id});
    const presented = await first;
    Object.assign(this, {stream, peer, video, frames, events, waiting, post});
    return {ms: presented - began, candidates: peer.localDescription.sdp.match(/a=candidate.*/g)};
  },
  // Reads the brightness of the marker: the top left corner of the picture.
  corner() {
    const canvas = this.canvas ??= Object.assign(document.createElement("canvas"), {width: 16, height: 16});
    const context = this.context ??= canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(this.video, 0, 0, 32, 32, 0, 0, 16, 16);
    const data = context.getImageData(4, 4, 8, 8).data;
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
    return sum / (data.length / 4) / 3;
  },
  // Resolves when a picture of the other state is presented, and notes the first changed one.
  async switchTo(state, isBright) {
    const old = this.corner();
    let changed = 0;
    const seen = new Promise((resolve) => {
      const check = () => {
        const level = this.corner();
        if (!changed && Math.abs(level - old) > 24) changed = performance.now();
        if (isBright ? level > 215 : level < 40) { this.waiting.delete(check); resolve(performance.now()); }
      };
      this.waiting.add(check);
    });
    const began = performance.now();
    await this.post(`/streams/${this.stream.id}/state`, {state, session_id: this.stream.session_id});
    const answered = performance.now();
    const ms = await seen - began;
    return {ms, changed: changed - began, answered: answered - began};
  },
  async close() {
    this.peer.close();
    this.video.remove();
    await fetch(`/streams/${this.stream.id}?session_id=${encodeURIComponent(this.stream.session_id)}`, {method: "DELETE"});
  },
  async report() {
    const found = {};
    for (const s of (await this.peer.getStats()).values()) if (s.type === "inbound-rtp") Object.assign(found, s);
    found.mimeType = (await this.peer.getStats()).get(found.codecId)?.mimeType;
    return found;
  },
};
