/** The WebSocket of a session: landmarks, camera pictures or voice go out; pictures, sound and words come in. */

import type { Word } from "../api/types";

export interface Heard {
  /** A picture of the portrait, and the time in seconds that was sent with what it follows. */
  picture(jpeg: Blob, time: number): void;
  /** Sound of the voice, int16 mono, to play at a time. */
  sound?(samples: Int16Array<ArrayBuffer>, time: number): void;
  message(message: ServerMessage): void;
  closed(problem: string | null): void;
}

export interface ServerMessage {
  type: string;
  error?: string;
  found?: boolean;
  dropped?: number;
  calibrated?: boolean;
  milliseconds?: number;
  rate?: number;
  words?: Word[];
  [more: string]: unknown;
}

// The first byte of a binary message.
const SENT = { landmarks: 1, jpeg: 2, voice: 3 } as const;
const RECEIVED = { picture: 1, sound: 2 } as const;

export class Stream {
  private socket: WebSocket;
  private problem: string | null = null;

  constructor(session: string, heard: Heard) {
    const address = new URL(`v1/sessions/${session}/stream`, document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => this.receive(data, heard);
    this.socket.onclose = (event) => heard.closed(this.problem ?? (event.wasClean ? null : "The connection was lost."));
  }

  get open(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Resolves once messages can be sent. */
  ready(): Promise<void> {
    if (this.open) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.socket.addEventListener("open", () => resolve(), { once: true });
      this.socket.addEventListener("close", () => reject(new TypeError("the stream cannot be opened")), { once: true });
    });
  }

  private receive(data: string | ArrayBuffer, heard: Heard): void {
    if (typeof data === "string") {
      const message = JSON.parse(data) as ServerMessage;
      if (message.type === "error") this.problem = message.error ?? null;
      heard.message(message);
      return;
    }
    const view = new DataView(data);
    const time = view.getFloat64(1, true);
    // A slice: the samples begin at an odd byte.
    if (view.getUint8(0) === RECEIVED.picture) heard.picture(new Blob([data.slice(9)], { type: "image/jpeg" }), time);
    else if (view.getUint8(0) === RECEIVED.sound) heard.sound?.(new Int16Array(data.slice(9)), time);
  }

  say(message: object): void {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  /** Landmarks (478, 3) in pixels of a camera picture of a width and height. */
  sendLandmarks(time: number, width: number, height: number, landmarks: Float32Array): void {
    const head = 1 + 8 + 4 + 4;
    const bytes = new ArrayBuffer(head + landmarks.byteLength);
    const view = new DataView(bytes);
    view.setUint8(0, SENT.landmarks);
    view.setFloat64(1, time, true);
    view.setFloat32(9, width, true);
    view.setFloat32(13, height, true);
    landmarks.forEach((value, index) => view.setFloat32(head + 4 * index, value, true));
    if (this.open) this.socket.send(bytes);
  }

  async sendPicture(time: number, jpeg: Blob): Promise<void> {
    const body = new Uint8Array(await jpeg.arrayBuffer());
    const bytes = new Uint8Array(8 + body.length);
    new DataView(bytes.buffer).setFloat64(0, time, true);
    bytes.set(body, 8);
    this.sendBytes(SENT.jpeg, bytes);
  }

  sendVoice(samples: Int16Array): void {
    this.sendBytes(SENT.voice, new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
  }

  private sendBytes(kind: number, payload: Uint8Array): void {
    const bytes = new Uint8Array(1 + payload.length);
    bytes[0] = kind;
    bytes.set(payload, 1);
    if (this.open) this.socket.send(bytes);
  }

  close(): void {
    this.socket.close();
  }
}
