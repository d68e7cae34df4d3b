// What the page and the tracker's worker tell each other.

import type { Points } from "./regions";

/** Sent first. */
export interface Start {
  kind: "start";
  /** Address of the page, under which networks/ and ort/ lie. */
  root: string;
}

/** Asks for the milliseconds that a frame takes. */
export interface Measure {
  kind: "measure";
}

/** Asks for the face in the next frame; the frame is transferred, and the worker closes it. */
export interface Track {
  kind: "track";
  frame: ImageBitmap | VideoFrame;
}

/** Each request is answered in turn. */
export type Request = Start | Measure | Track;

/** What a request gives. */
export interface Result {
  /** Null without a face, and for requests other than Track. */
  landmarks: Points | null;
  milliseconds: number;
}

/** An error is a sentence. */
export type Answer = Result | { error: string };
