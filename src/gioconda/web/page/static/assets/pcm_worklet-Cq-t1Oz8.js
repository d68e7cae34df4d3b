// Passes the microphone's samples on as int16, a tenth of a second at a time.
const LENGTH = 1600;

class Pcm extends AudioWorkletProcessor {
  samples = new Int16Array(LENGTH);
  filled = 0;

  process([[channel]]) {
    for (const value of channel ?? []) {
      this.samples[this.filled++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (this.filled === LENGTH) {
        this.port.postMessage(this.samples.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("pcm", Pcm);
