// A recording from the microphone as a WAV file: the browser records and decodes, and what is sent is plain samples.

const LONGEST = 30; // seconds
const RATE = 48000;

/** Starts to record. `tick(seconds)` is called four times a second; `stop()` gives the WAV as a File. */
export async function record(tick, ended) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const parts = [];
  const began = performance.now();
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const over = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  const timer = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    tick(seconds);
    if (seconds > LONGEST) ended();
  }, 250);
  recorder.start();
  return {
    async stop() {
      clearInterval(timer);
      recorder.stop();
      await over;
      stream.getTracks().forEach((track) => track.stop());
      const context = new OfflineAudioContext(1, 1, RATE);
      const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
      return new File([wav(mixed(sound), sound.sampleRate)], "recording.wav", { type: "audio/wav" });
    },
  };
}

function mixed(sound) {
  const out = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) {
    const channel = sound.getChannelData(c);
    for (let i = 0; i < out.length; i++) out[i] += channel[i] / sound.numberOfChannels;
  }
  return out;
}

/** 16 bits, one channel. */
export function wav(samples, rate) {
  const out = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, i) => out.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); out.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  out.setUint32(16, 16, true); out.setUint16(20, 1, true); out.setUint16(22, 1, true);
  out.setUint32(24, rate, true); out.setUint32(28, 2 * rate, true); out.setUint16(32, 2, true); out.setUint16(34, 16, true);
  text(36, "data"); out.setUint32(40, 2 * samples.length, true);
  samples.forEach((x, i) => out.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(x * 32768))), true));
  return out.buffer;
}
