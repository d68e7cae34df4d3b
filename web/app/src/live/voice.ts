/** Plays what a speaking session sends: sound on the clock of the sound card, pictures when their moment comes. */

// Seconds by which sound is scheduled ahead, so that it does not stutter.
const AHEAD = 0.06;

interface Moment {
  time: number;
  picture: ImageBitmap;
}

export class Player {
  private context = new AudioContext();
  private sources = new Set<AudioBufferSourceNode>();
  private moments: Moment[] = [];
  // What the session's second 0 is on the sound card's clock; unknown until something has come.
  private origin: number | null = null;
  private going = true;

  constructor(
    private rate: number,
    private draw: (picture: ImageBitmap) => void,
  ) {
    const step = () => {
      if (!this.going) return;
      this.show();
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** Sets the rate of the session's sound, in samples a second. */
  tune(rate: number): void {
    this.rate = rate;
  }

  sound(samples: Int16Array<ArrayBuffer>, time: number): void {
    const at = this.place(time);
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(Float32Array.from(samples, (value) => value / 32768), 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.onended = () => this.sources.delete(source);
    this.sources.add(source);
    source.start(Math.max(this.context.currentTime, at));
  }

  picture(picture: ImageBitmap, time: number): void {
    this.place(time);
    this.moments.push({ time, picture });
  }

  /** Drops what has not been heard or seen yet. */
  interrupt(): void {
    for (const source of this.sources) source.stop();
    this.sources.clear();
    this.moments = [];
    this.origin = null;
  }

  close(): void {
    this.going = false;
    this.interrupt();
    void this.context.close();
  }

  /** The moment of a time on the sound card's clock; what comes too late moves everything after it. */
  private place(time: number): number {
    const now = this.context.currentTime;
    if (this.origin === null || this.origin + time < now) this.origin = now + AHEAD - time;
    return this.origin + time;
  }

  private show(): void {
    const now = this.context.currentTime - (this.origin ?? 0);
    let due: Moment | undefined;
    while (this.moments[0] && this.moments[0].time <= now) {
      due?.picture.close();
      due = this.moments.shift();
    }
    if (due) this.draw(due.picture);
  }
}

/** Sends the microphone as int16 mono at 16 kHz; the function that is returned ends it. */
export async function streamMicrophone(send: (samples: Int16Array) => void): Promise<() => void> {
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } });
  const context = new AudioContext({ sampleRate: 16000 });
  await context.audioWorklet.addModule(new URL("./pcm_worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "pcm");
  node.port.onmessage = ({ data }: MessageEvent<Int16Array>) => send(data);
  context.createMediaStreamSource(microphone).connect(node);
  return () => {
    for (const track of microphone.getTracks()) track.stop();
    void context.close();
  };
}
