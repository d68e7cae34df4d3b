/** What the API answers; docs/api.md and openapi.json describe it. */

export type Phase = "queued" | "running" | "done" | "failed" | "cancelled";
export type Kind = "animate" | "speak" | "edit" | "verify" | "adapt" | "export";

export interface Progress {
  stage: string;
  done: number;
  total: number;
  rate: number | null;
  seconds_left: number | null;
}

/** A word and the seconds in which it is said. */
export interface Word {
  text: string;
  start: number;
  end: number;
}

export interface Output {
  media_type: string;
  bytes: number;
  frames: number;
  width: number;
  height: number;
  seconds?: number;
  sidecar: boolean;
  warnings: string[];
  words?: Word[];
}

export interface JobState {
  id: string;
  kind: Kind;
  state: Phase;
  position: number | null;
  progress: Progress | null;
  error: string | null;
  result: Output | null;
  /** Seconds since 1970 at which the server deletes the job. */
  expires: number | null;
}

export interface ServerFacts {
  version: string;
  upload_bytes: number;
  media_seconds: number;
  keep_seconds: number;
  kinds: Kind[];
  purposes: { name: string; available: boolean; reason: string | null }[];
}

/** A rectangle in shares of a picture's width and height. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface SessionFacts {
  id: string;
  use: "edit" | "live" | "voice";
  width: number;
  height: number;
  faces: Box[];
  /** The square that the session shows. */
  shown: Box;
}

export type Files = Record<string, File[]>;
export type JobRequest = { kind: Kind } & Record<string, unknown>;

export const ended = (state: JobState | null): boolean =>
  state !== null && ["done", "failed", "cancelled"].includes(state.state);
