/** The portrait: chosen once, used by every tool, remembered in this browser. */

import { signal } from "@preact/signals";
import { drop, load, save } from "../jobs/store";
import { photoIn } from "./person";

export interface PortraitChoice {
  file: File;
  /** A few words for people and for names of files. */
  name: string;
  /** What entitles the user to the likeness; null for the user's own picture until it is declared. */
  rights: string | null;
  /** Which face moves: 0 for the largest. */
  face: number;
  /** The first photo in a person file; null for every other file. */
  photo: Blob | null;
  /** Of the file, or of the photo in it. */
  address: string;
}

export const portrait = signal<PortraitChoice | null>(null);

const KEY = "portrait";
const DECLARED = "gioconda-rights";

export const isVideo = (choice: PortraitChoice): boolean => choice.file.type.startsWith("video/");
const isPrepared = (file: File): boolean => file.name.endsWith(".safetensors");
/** Whether it is a file of fitted networks, which shows no picture here. */
export const isIdentity = (choice: PortraitChoice): boolean => isPrepared(choice.file) && !choice.photo;

/** The user's declaration, which lasts as long as the session of the browser. */
export const declared = signal<string | null>(sessionStorage.getItem(DECLARED));

export function declare(right: string | null): void {
  declared.value = right;
  if (right) sessionStorage.setItem(DECLARED, right);
  else sessionStorage.removeItem(DECLARED);
}

/** What entitles to the likeness of the present portrait; null while nothing is declared. */
export const rightOf = (choice: PortraitChoice | null): string | null => choice?.rights ?? declared.value;

export async function choose(file: File, name: string, rights: string | null): Promise<void> {
  const photo = isPrepared(file) ? await photoIn(file) : null;
  put({ file, name, rights, face: 0, photo });
}

export function chooseFace(face: number): void {
  if (portrait.value) put({ ...portrait.value, face });
}

type Kept = Omit<PortraitChoice, "address">;

function put(choice: Kept): void {
  const old = portrait.value;
  const address = old?.file === choice.file ? old.address : URL.createObjectURL(choice.photo ?? choice.file);
  if (old && old.address !== address) URL.revokeObjectURL(old.address);
  portrait.value = { ...choice, address };
  void save(KEY, choice);
}

export function forgetPortrait(): void {
  if (portrait.value) URL.revokeObjectURL(portrait.value.address);
  portrait.value = null;
  void drop(KEY);
}

export async function restorePortrait(): Promise<void> {
  const kept = await load<Kept>(KEY);
  if (kept && !portrait.value) put(kept);
}

/** The name of a file in words: IMG_2041.jpg stays, mona_lisa.jpg becomes "mona lisa". */
export const wordsOf = (file: File): string => file.name.replace(/\.[^.]+$/, "").replace(/[_-]+/g, " ").trim() || "portrait";

/** A part of a file's name. */
export const slug = (words: string): string =>
  words
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40) || "portrait";
