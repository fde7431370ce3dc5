// A viewer for the benchmarks of speech: notes when pictures are presented and when sound is heard.
// All times are milliseconds of performance.timeOrigin + performance.now().
(() => {
  const now = () => performance.timeOrigin + performance.now();

  // Tells of each block of sound in which something can be heard, and of the first silent one.
  const EAR = `
    registerProcessor("ear", class extends AudioWorkletProcessor {
      process([[samples]]) {
        const at = Date.now();
        let peak = 0, first = -1;
        for (let i = 0; samples && i < samples.length; i++) {
          const size = Math.abs(samples[i]);
          if (size > 0.02 && first < 0) first = i;
          if (size > peak) peak = size;
        }
        if (first >= 0) this.port.postMessage([at, first / sampleRate * 1000, peak, currentTime]);
        return true;
      }
    });`;

  const client = {
    async connect(avatar) {
      const stream = await this.post("/streams", {video_id: avatar});
      const peer = new RTCPeerConnection({iceServers: stream.ice_servers});
      const video = document.createElement("video");
      Object.assign(video, {autoplay: true, playsInline: true});
      document.body.append(video);
      const tracks = new MediaStream();
      Object.assign(this, {stream, peer, video, pictures: [], blocks: [], events: [], receivers: {}});
      peer.ondatachannel = ({channel}) => {
        channel.onmessage = ({data}) => this.events.push([now(), data]);
      };
      peer.ontrack = ({track, receiver, streams}) => {
        this.receivers[track.kind] = receiver;
        // As the page does: picture and sound stay in step only within one stream.
        const both = streams[0] ?? tracks;
        both.addTrack(track);
        if (video.srcObject !== both) video.srcObject = both;
      };
      peer.onicecandidate = ({candidate: c}) => {
        const body = c ? {candidate: c.candidate, sdpMid: c.sdpMid, sdpMLineIndex: c.sdpMLineIndex} : {};
        this.command("/ice", body).catch(() => {});
      };
      const first = new Promise((resolve) => this.watch(resolve));
      await peer.setRemoteDescription(stream.offer);
      await peer.setLocalDescription(await peer.createAnswer());
      await this.command("/sdp", {answer: peer.localDescription.toJSON()});
      await first;
      await this.listen();
    },

    watch(seen) {
      const canvas = new OffscreenCanvas(8, 8);
      const context = canvas.getContext("2d", {willReadFrequently: true});
      const note = (called, meta) => {
        context.drawImage(this.video, 0, 0, 64, 64, 0, 0, 8, 8);
        const {data} = context.getImageData(0, 0, 8, 8);
        let sum = 0;
        for (let i = 1; i < data.length; i += 4) sum += data[i];
        const shown = performance.timeOrigin + meta.expectedDisplayTime;
        this.pictures.push([shown, meta.rtpTimestamp, sum / 64, now(), performance.timeOrigin + called]);
        seen();
        this.video.requestVideoFrameCallback(note);
      };
      this.video.requestVideoFrameCallback(note);
    },

    async listen() {
      const context = new AudioContext({latencyHint: "interactive", sampleRate: 48000});
      const module = URL.createObjectURL(new Blob([EAR], {type: "text/javascript"}));
      await context.audioWorklet.addModule(module);
      const source = context.createMediaStreamSource(new MediaStream([this.receivers.audio.track]));
      const ear = new AudioWorkletNode(context, "ear", {numberOfOutputs: 1});
      ear.port.onmessage = ({data}) => this.blocks.push(data);
      source.connect(ear).connect(context.destination);
      await context.resume();
      this.context = context;
      // When which RTP timestamp was handed to the tracks, to see what the listening itself adds.
      this.played = [];
      this.polling = setInterval(() => {
        const [source] = this.receivers.audio.getSynchronizationSources();
        const last = this.played.at(-1);
        if (source && source.rtpTimestamp !== last?.[1]) {
          this.played.push([source.timestamp, source.rtpTimestamp, source.audioLevel]);
        }
      }, 4);
    },

    forget() {
      for (const log of [this.pictures, this.blocks, this.events, this.played]) log.length = 0;
    },

    async post(path, body) {
      const form = body instanceof FormData;
      const response = await fetch(path, {
        method: "POST",
        headers: form ? {} : {"Content-Type": "application/json"},
        body: form ? body : JSON.stringify(body),
      });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.description);
      return answer;
    },

    command(suffix, body) {
      const {id, session_id} = this.stream;
      return this.post(`/streams/${id}${suffix}`, {...body, session_id});
    },

    // Has sound played; resolves with when that was asked for.
    async play(base64) {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const form = new FormData();
      form.set("session_id", this.stream.session_id);
      form.set("audio", new Blob([bytes]), "sound.wav");
      const asked = now();
      const {utterance} = await this.post(`/streams/${this.stream.id}`, form);
      return {asked, answered: now(), utterance};
    },

    async speak(input) {
      const asked = now();
      await this.command("", {script: {type: "text", input}});
      return {asked};
    },

    async interrupt() {
      const asked = now();
      const answer = await this.command("/interrupt", {});
      return {asked, ...answer};
    },

    // Streams s16le sound in, 20 ms each 20 ms; resolves with when the first piece left.
    async feed(base64, rate) {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const {id, session_id} = this.stream;
      const socket = new WebSocket(`ws://${location.host}/streams/${id}/audio?session_id=${encodeURIComponent(session_id)}`);
      await new Promise((resolve) => { socket.onopen = resolve; });
      const queued = new Promise((resolve) => { socket.onmessage = resolve; });
      socket.send(JSON.stringify({type: "begin", rate}));
      await queued;
      const step = rate / 50 * 2;
      const asked = now();
      let sent = 0;
      const send = () => {
        while (sent < bytes.length && sent / step * 20 <= now() - asked) {
          socket.send(bytes.slice(sent, sent += step));
        }
        if (sent >= bytes.length) clearInterval(this.feeding);
      };
      this.feeding = setInterval(send, 5);
      send();
      this.socket = socket;
      return {asked};
    },

    unstream() {
      clearInterval(this.feeding);
      this.socket?.close();
    },

    logs() {
      const {pictures, blocks, events, played} = this;
      return {pictures, blocks, events, played};
    },

    async report() {
      const found = {};
      for (const s of (await this.peer.getStats()).values()) {
        if (s.type === "inbound-rtp") found[s.kind] = s;
        if (s.type === "media-playout") found.output_ms = s.totalPlayoutDelay / s.totalSamplesCount * 1000;
      }
      const {baseLatency, outputLatency} = this.context;
      return {...found, baseLatency, outputLatency};
    },

    async close() {
      clearInterval(this.polling);
      await this.context.close();
      this.peer.close();
      this.video.remove();
    },
  };
  window.viewer = client;
})();
