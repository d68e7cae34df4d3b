/** The editor's state: the sliders' values with undo, and keyframes. */

import { computed, signal } from "@preact/signals";
import { KEYFRAMES } from "../api/options";

export const POSE = ["yaw", "pitch", "roll", "gaze_x", "gaze_y"] as const;
export type Values = Record<string, number>;
export type Easing = (typeof KEYFRAMES.easings)[number];

export interface Key {
  time: number;
  values: Values;
  /** Seconds for which the expression stays. */
  hold: number;
  /** How the face moves to it from the keyframe before. */
  easing: Easing;
}

interface Edit {
  values: Values;
  keys: Key[];
}

export const edit = signal<Edit>({ values: {}, keys: [] });
const past = signal<Edit[]>([]);
const future = signal<Edit[]>([]);
export const canUndo = computed(() => past.value.length > 0);
export const canRedo = computed(() => future.value.length > 0);

const REMEMBERED = 100;
let resting: Edit = edit.value;

/** Changes what is seen; undo goes back to the last `settle`. */
export function move(changes: Values): void {
  const values = Object.fromEntries(Object.entries({ ...edit.value.values, ...changes }).filter(([, value]) => value));
  edit.value = { ...edit.value, values };
}

/** Ends a change that undo takes back as one. */
export function settle(): void {
  if (edit.value === resting) return;
  past.value = [...past.value, resting].slice(-REMEMBERED);
  future.value = [];
  resting = edit.value;
}

export function put(changes: Partial<Edit>): void {
  edit.value = { ...edit.value, ...changes };
  settle();
}

export function undo(): void {
  const last = past.value.at(-1);
  if (!last) return;
  future.value = [edit.value, ...future.value];
  past.value = past.value.slice(0, -1);
  edit.value = resting = last;
}

export function redo(): void {
  const [next, ...rest] = future.value;
  if (!next) return;
  past.value = [...past.value, edit.value];
  future.value = rest;
  edit.value = resting = next;
}

/** The request's fields for the sliders' values. */
export function lookOf(values: Values): Record<string, unknown> {
  const pose = Object.fromEntries(POSE.map((name) => [name, values[name] ?? 0]));
  const isPose = (name: string): boolean => (POSE as readonly string[]).includes(name);
  const coefficients = Object.fromEntries(Object.entries(values).filter(([name]) => !isPose(name)));
  return { ...pose, coefficients };
}

export function addKey(time: number): void {
  const key = { time, values: edit.value.values, hold: 0, easing: KEYFRAMES.easings[0] };
  const others = edit.value.keys.filter((other) => Math.abs(other.time - time) >= SHORTEST);
  if (others.length >= KEYFRAMES.most) return;
  put({ keys: [...others, key].sort((a, b) => a.time - b.time) });
}

export function changeKey(index: number, changes: Partial<Key>): void {
  const keys = edit.value.keys.map((key, at) => (at === index ? { ...key, ...changes } : key));
  put({ keys: keys.sort((a, b) => a.time - b.time) });
}

export const dropKey = (index: number): void => put({ keys: edit.value.keys.filter((_, at) => at !== index) });

// Seconds between two keyframes at least.
const SHORTEST = 0.1;

/** The keyframes as the API takes them: an expression that is held is a keyframe at each end of its stay. */
export function keyframes(): object[] {
  const keys = edit.value.keys;
  return keys.flatMap((key, index) => {
    const next = keys[index + 1]?.time ?? Infinity;
    const until = Math.min(key.time + key.hold, next - SHORTEST);
    const first = { time: key.time, easing: key.easing, ...lookOf(key.values) };
    return key.hold >= SHORTEST && until > key.time ? [first, { ...first, time: round(until) }] : [first];
  });
}

export const endOf = (keys: Key[]): number => {
  const last = keys.at(-1);
  return last ? last.time + last.hold : 0;
};

const round = (seconds: number): number => Math.round(100 * seconds) / 100;
