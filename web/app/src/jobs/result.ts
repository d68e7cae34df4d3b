/** The files of finished jobs, fetched once, with patience, and kept while the page is open. */

import { call, Refusal } from "../api/http";
import { change, entryOf, type Entry } from "./entries";
import { pauses } from "./patience";
import { reachable } from "./watch";

const FETCH_MILLISECONDS = 120000;
const held = new Map<string, Promise<Blob>>();
const addresses = new Map<string, string>();

/** The result of a finished entry. Rejects with a Refusal once the server no longer has it. */
export function resultOf(entry: Entry): Promise<Blob> {
  const known = held.get(entry.key);
  if (known) return known;
  const fetched = fetchResult(entry.job!);
  held.set(entry.key, fetched);
  fetched.catch(() => held.delete(entry.key));
  return fetched;
}

async function fetchResult(job: string): Promise<Blob> {
  const wait = pauses();
  for (;;) {
    try {
      const blob = await (await call(`v1/jobs/${job}/result`, {}, FETCH_MILLISECONDS)).blob();
      reachable.value = true;
      return blob;
    } catch (problem) {
      if (problem instanceof Refusal && !problem.passing && problem.status < 500) throw problem;
      reachable.value = problem instanceof Refusal;
      await wait();
    }
  }
}

/** The address of a result in this page. */
export async function addressOf(entry: Entry): Promise<string> {
  const blob = await resultOf(entry);
  const known = addresses.get(entry.key);
  if (known) return known;
  const address = URL.createObjectURL(blob);
  addresses.set(entry.key, address);
  return address;
}

const SUFFIXES: Record<string, string> = {
  "video/mp4": "mp4",
  "video/webm": "webm",
  "video/quicktime": "mov",
  "image/gif": "gif",
  "image/apng": "apng",
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "application/json": "json",
  "application/octet-stream": "safetensors",
};

/** The name of a result's file, such as mona-lisa-smile.mp4. */
export function fileName(entry: Entry): string {
  return `${entry.name}.${SUFFIXES[entry.state?.result?.media_type ?? ""] ?? "bin"}`;
}

export async function resultFile(entry: Entry): Promise<File> {
  const blob = await resultOf(entry);
  return new File([blob], fileName(entry), { type: entry.state?.result?.media_type ?? blob.type });
}

const THUMBNAIL_SIDE = 144;

/** Keeps a small picture of what is drawn in `source` for the list of results. */
export function keepThumbnail(key: string, source: HTMLVideoElement | HTMLImageElement): void {
  const entry = entryOf(key);
  const [width, height] =
    source instanceof HTMLVideoElement
      ? [source.videoWidth, source.videoHeight]
      : [source.naturalWidth, source.naturalHeight];
  if (!entry || entry.thumbnail || !width || !height) return;
  const side = Math.min(width, height);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = THUMBNAIL_SIDE;
  const top = Math.min((height - side) / 2, 0.1 * height);
  canvas.getContext("2d")!.drawImage(source, (width - side) / 2, top, side, side, 0, 0, THUMBNAIL_SIDE, THUMBNAIL_SIDE);
  change(key, { thumbnail: canvas.toDataURL("image/jpeg", 0.8) });
}
