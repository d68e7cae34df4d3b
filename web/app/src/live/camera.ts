/** Drives a live session with the camera: tracked in this browser where it is fast enough, else on the server. */

import { openCamera, stopStream } from "../screens/camera";
import type { Stream } from "./stream";
import type { Tracker } from "../tracking";

// Longer side in pixels of a picture that the server tracks, and its JPEG quality.
const SENT_SIDE = 384;
const SENT_QUALITY = 0.85;
// Pictures that may be under way to the server at once.
const DEPTH = 2;

export interface Driver {
  /** Whether landmarks are found in this browser. */
  local: boolean;
  video: HTMLVideoElement;
  /** Notes an answer, and how many messages the server has dropped in all. */
  answered(dropped?: number): void;
  stop(): void;
}

export async function drive(stream: Stream, mirrored: () => boolean, tracker: Tracker | null): Promise<Driver> {
  const camera = await openCamera();
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = camera;
  await video.play();
  let under = 0;
  let droppedBefore = 0;
  let going = true;
  const paper = new OffscreenCanvas(1, 1);

  const send = async () => {
    const time = performance.now() / 1000;
    if (tracker) {
      draw(paper, video, mirrored(), Infinity);
      const [width, height] = [paper.width, paper.height];
      const face = await tracker.track(paper.transferToImageBitmap(), time);
      if (going) stream.sendLandmarks(time, width, height, face?.landmarks ?? new Float32Array());
    } else {
      draw(paper, video, mirrored(), SENT_SIDE);
      const jpeg = await paper.convertToBlob({ type: "image/jpeg", quality: SENT_QUALITY });
      if (going) await stream.sendPicture(time, jpeg);
    }
  };

  let tracking = false;
  const frame = async () => {
    if (!going) return;
    video.requestVideoFrameCallback(() => void frame());
    if (tracking || under >= DEPTH || !video.videoWidth) return;
    tracking = true;
    under += 1;
    await send().catch(() => void (under -= 1));
    tracking = false;
  };
  video.requestVideoFrameCallback(() => void frame());
  return {
    local: tracker !== null,
    video,
    answered: (dropped = droppedBefore) => {
      under = Math.max(0, under - 1 - (dropped - droppedBefore));
      droppedBefore = dropped;
    },
    stop: () => {
      going = false;
      stopStream(camera);
      tracker?.close();
    },
  };
}

/** Where the face before the camera is tracked. */
export type Where = "auto" | "browser" | "server";

// Where browser and server share two cores, the server's native code leaves more time to draw.
const SHARED_CORES = 2;
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** A tracker in this browser; null where the server is to track, or the browser is too slow. */
export async function localTracker(where: Where): Promise<Tracker | null> {
  const shared = LOOPBACK.includes(location.hostname) && navigator.hardwareConcurrency <= SHARED_CORES;
  if (where === "server" || (where === "auto" && shared)) return null;
  try {
    const tracking = await import("../tracking");
    return where === "browser" || (await tracking.canTrack()) ? await tracking.createTracker() : null;
  } catch {
    return null;
  }
}

function draw(paper: OffscreenCanvas, video: HTMLVideoElement, mirrored: boolean, side: number): void {
  const scale = Math.min(1, side / Math.max(video.videoWidth, video.videoHeight));
  paper.width = Math.round(video.videoWidth * scale);
  paper.height = Math.round(video.videoHeight * scale);
  const context = paper.getContext("2d")!;
  if (mirrored) context.setTransform(-1, 0, 0, 1, paper.width, 0);
  context.drawImage(video, 0, 0, paper.width, paper.height);
}
