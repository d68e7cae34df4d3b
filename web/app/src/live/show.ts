/** What runs live now: a portrait that follows the camera, or one that speaks; seen on the stage and in a clean window. */

import { signal } from "@preact/signals";
import { call, sentence } from "../api/http";
import type { SessionFacts, Word } from "../api/types";
import { isVideo, portrait, rightOf } from "../media/portrait";
import { cameraProblem } from "../screens/camera";
import type { Tracker } from "../tracking";
import { drive, localTracker, type Driver, type Where } from "./camera";
import { endSession, openSession } from "./session";
import { Stream, type ServerMessage } from "./stream";
import { Player } from "./voice";

export type Use = "live" | "voice";

export const on = signal<Use | null>(null);
export const starting = signal(false);
export const status = signal("");
export const figures = signal("");
export const mirrored = signal(true);
export const where = signal<Where>("auto");
export const recording = signal(false);
/** Whether a recorded motion can be fetched. */
export const recorded = signal(false);
export const spoken = signal<Word[]>([]);
/** The latest picture of the portrait. */
export const picture = signal<ImageBitmap | null>(null);
export const cameraPreview = signal<HTMLVideoElement | null>(null);

let facts: SessionFacts | null = null;
let stream: Stream | null = null;
let driver: Driver | null = null;
let player: Player | null = null;
let times: [at: number, delay: number][] = [];

// Side in pixels of the pictures of a portrait that follows a face.
const LIVE_SIDE = 512;
const DEFAULT_RATE = 22050;

export async function begin(use: Use): Promise<void> {
  const choice = portrait.value;
  const rights = rightOf(choice);
  if (!choice || !rights) return void (status.value = choice ? "Declare first what entitles you to use this likeness." : "Choose a portrait first.");
  if (isVideo(choice)) return void (status.value = "Live takes a picture. Choose one as the portrait.");
  starting.value = true;
  recorded.value = recording.value = false;
  status.value = "Preparing the portrait";
  try {
    const tracker = use === "live" ? await localTracker(where.value) : null;
    facts = await openSession(use, choice, rights, use === "live" ? LIVE_SIDE : undefined);
    await connect(use, facts, tracker);
    on.value = use;
  } catch (problem) {
    end(problem instanceof DOMException ? cameraProblem(problem) : sentence(problem));
  } finally {
    starting.value = false;
  }
}

async function connect(use: Use, opened: SessionFacts, tracker: Tracker | null): Promise<void> {
  times = [];
  if (use === "voice") player = new Player(DEFAULT_RATE, show);
  const opening = (stream = new Stream(opened.id, {
    picture: (jpeg, time) => void receive(jpeg, time),
    sound: (samples, time) => player?.sound(samples, time),
    message: hear,
    closed: (problem) => {
      if (stream === opening) end(problem ?? "Ended.");
    },
  }));
  await opening.ready();
  if (use === "live") {
    driver = await drive(opening, () => mirrored.value, tracker);
    cameraPreview.value = driver.video;
    status.value = "Look straight ahead, your mouth shut.";
  } else status.value = "";
}

async function receive(jpeg: Blob, time: number): Promise<void> {
  const decoded = await createImageBitmap(jpeg);
  if (player) return player.picture(decoded, time);
  show(decoded);
  count(performance.now() / 1000 - time);
}

function show(decoded: ImageBitmap): void {
  picture.value = decoded;
}

function hear(message: ServerMessage): void {
  if (message.type === "error") {
    driver?.answered();
    status.value = sentence(new Error(message.error ?? "it failed"));
  }
  if (message.type === "face") {
    driver?.answered(message.dropped);
    status.value = !message.found ? "No face seen." : message.calibrated ? "" : "Look straight ahead, your mouth shut.";
  }
  if (message.type === "said" && message.words) spoken.value = message.words;
  if (typeof message.rate === "number") player?.tune(message.rate);
}

/** Counts pictures of the last seconds and their delay behind the camera. */
function count(delay: number): void {
  const now = performance.now() / 1000;
  times = [...times.filter(([at]) => now - at < 2), [now, delay]];
  const delays = times.map(([, late]) => late).sort((a, b) => a - b);
  const rate = (times.length - 1) / Math.max(0.001, now - times[0]![0]);
  const place = driver?.local ? "tracked in this browser" : "tracked on the server";
  if (times.length % 10 === 0) {
    figures.value = `${rate.toFixed(0)} frames a second, ${(1000 * delays[delays.length >> 1]!).toFixed(0)} ms behind, ${place}`;
  }
  window.dispatchEvent(new CustomEvent("drawn", { detail: { delay } }));
}

export function end(words: string): void {
  const ending = facts;
  const old = stream;
  stream = facts = null;
  driver?.stop();
  player?.close();
  driver = player = null;
  old?.close();
  // A recording is fetched from the session, which then ends by itself.
  if (ending && !recorded.value) endSession(ending.id);
  else if (ending) kept = ending.id;
  cameraPreview.value = null;
  recording.value = false;
  on.value = null;
  figures.value = "";
  status.value = words;
}

let kept: string | null = null;

export const calibrate = (): void => stream?.say({ type: "calibrate" });

export function record(begun: boolean): void {
  stream?.say({ type: "record", on: begun });
  recording.value = begun;
  if (!begun) recorded.value = true;
}

/** The motion that was recorded. */
export async function recordedMotion(format: "npz" | "csv"): Promise<File> {
  const id = facts?.id ?? kept;
  const answer = await call(`v1/sessions/${id}/recording?format=${format}`);
  return new File([await answer.blob()], `live.${format}`);
}

export function say(text: string, voice: string, language: string, emotion: string): void {
  stream?.say({ type: "say", text, language, ...(voice ? { voice } : {}), ...(emotion ? { emotion } : {}) });
}

export function interrupt(): void {
  stream?.say({ type: "interrupt" });
  player?.interrupt();
}

export const sendVoice = (samples: Int16Array): void => stream?.sendVoice(samples);
export const endVoice = (): void => stream?.say({ type: "end_of_speech" });

window.addEventListener("pagehide", () => {
  if (on.value) end("");
});
