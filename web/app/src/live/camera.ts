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
  /** Notes an answer and how many messages the server has dropped in all; returns when the answered one was sent. */
  answered(dropped?: number): number;
  stop(): void;
}

export async function drive(stream: Stream, mirrored: () => boolean, tracker: Tracker | null): Promise<Driver> {
  const camera = await openCamera();
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.srcObject = camera;
  await video.play();
  // Seconds at which what is under way was sent.
  let under: number[] = [];
  let droppedBefore = 0;
  let going = true;
  const paper = new OffscreenCanvas(1, 1);

  const send = async () => {
    const time = performance.now() / 1000;
    if (tracker) {
      draw(paper, video, mirrored(), Infinity);
      const [width, height] = [paper.width, paper.height];
      const face = await tracker.track(paper.transferToImageBitmap(), time);
      if (!going || !face) return false;
      stream.sendLandmarks(time, width, height, face.landmarks);
    } else {
      draw(paper, video, mirrored(), SENT_SIDE);
      const jpeg = await paper.convertToBlob({ type: "image/jpeg", quality: SENT_QUALITY });
      if (going) await stream.sendPicture(jpeg);
    }
    return true;
  };

  let tracking = false;
  const frame = async () => {
    if (!going) return;
    video.requestVideoFrameCallback(() => void frame());
    if (tracking || under.length >= DEPTH || !video.videoWidth) return;
    tracking = true;
    const began = performance.now() / 1000;
    if (await send().catch(() => false)) under.push(began);
    tracking = false;
  };
  video.requestVideoFrameCallback(() => void frame());
  return {
    local: tracker !== null,
    video,
    answered: (dropped = droppedBefore) => {
      const done = under.splice(0, 1 + dropped - droppedBefore);
      droppedBefore = dropped;
      return done.at(-1) ?? performance.now() / 1000;
    },
    stop: () => {
      going = false;
      stopStream(camera);
      tracker?.close();
    },
  };
}

/** A tracker in this browser; null where it cannot run one fast enough. */
export async function localTracker(): Promise<Tracker | null> {
  try {
    const tracking = await import("../tracking");
    return (await tracking.canTrack()) ? await tracking.createTracker() : null;
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
