/** States of jobs in words. */

import type { Output, Progress } from "../api/types";
import type { Entry } from "./entries";

const STAGES: Record<string, string> = {
  track: "Reading the motion",
  listen: "Listening to the voice",
  mouths: "Collecting mouths",
  photos: "Reading the photos",
  frames: "Choosing frames of the film",
  render: "Drawing",
  export: "Converting",
};
const UNITS: Record<string, string> = { photos: "photos" };

/** What an entry is doing, in a few words that change seldom. */
export function phaseOf(entry: Entry): string {
  const { state, sent } = entry;
  if (entry.problem) return entry.problem;
  if (!state) return sent < 1 ? "Sending the files" : "Waiting for the server";
  if (state.state === "queued") return state.position && state.position > 1 ? `In the queue, ${ahead(state.position - 1)}` : "Next in the queue";
  if (state.state === "cancelled") return "Cancelled";
  if (state.state === "failed") return whole(named(state.error ?? "It failed", entry));
  if (state.state === "done") return "Done";
  const stage = state.progress?.stage;
  return stage ? (STAGES[stage] ?? whole(stage)) : "Starting";
}

/** A message of the server, whose names of files are its own, with the names that the user knows. */
export function named(message: string, entry: Entry): string {
  return message.replace(/\b([a-z]+)(\d*)\.[a-z0-9]+\b/g, (own, role: string, number: string) => {
    return entry.files?.[role]?.[Number(number || 1) - 1] ?? own;
  });
}

const ahead = (count: number): string => `behind ${count} other job${count === 1 ? "" : "s"}`;

function whole(words: string): string {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Numbers of a stage: how many of how many, how fast, how long still. */
export function figuresOf(progress: Progress): string {
  const unit = UNITS[progress.stage] ?? "frames";
  const parts = [progress.total ? `${progress.done} of ${progress.total} ${unit}` : `${progress.done} ${unit}`];
  if (progress.rate) parts.push(`${progress.rate.toFixed(1)} ${unit} a second`);
  if (progress.seconds_left !== null) parts.push(`${duration(progress.seconds_left)} left`);
  return parts.join(", ");
}

export function duration(seconds: number): string {
  const rounded = Math.max(1, Math.round(seconds));
  return rounded < 90 ? `${rounded} s` : `${Math.round(rounded / 60)} min`;
}

export function size(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

export const moves = (output: Output): boolean =>
  output.media_type.startsWith("video/") || ["image/gif", "image/apng"].includes(output.media_type);

/** What marks a result carries. */
export function marksOf(output: Output): string {
  const where = output.sidecar ? "in a file beside it (keep the two together)" : "inside the file";
  const mark = moves(output) ? "in every frame" : "in the picture";
  return `Signed as synthetic: Content Credentials ${where}, and a watermark ${mark}.`;
}
