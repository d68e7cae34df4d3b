/** The results: every job of this browser, from its submission until it expires or is deleted. */

import { signal } from "@preact/signals";
import { call, Refusal, sentence, upload } from "../api/http";
import { ended, type Files, type JobRequest, type JobState } from "../api/types";
import { pause, pauses } from "./patience";
import { drop, known, load, save } from "./store";
import { reachable, watch } from "./watch";

export interface Entry {
  /** Names the entry here, and the submission to the server: the same key never makes two jobs. */
  key: string;
  request: JobRequest;
  /** Names of the user's files, by role. */
  files: Record<string, string[]>;
  /** Name of a downloaded file, without its suffix. */
  name: string;
  /** What it shows, for people. */
  title: string;
  /** The server's id; null until the server has taken the job. */
  job: string | null;
  state: JobState | null;
  /** Share of the files that has been sent, 0 to 1. */
  sent: number;
  problem: string | null;
  /** A small picture as a data address. */
  thumbnail: string | null;
  /** Milliseconds since 1970. */
  created: number;
}

export const entries = signal<Entry[]>([]);
/** The entry on the stage. */
export const shown = signal<string | null>(null);

const STORED = "entry:";
const STALLED_MILLISECONDS = 20000;
const watchers = new Map<string, AbortController>();
// Tells other tabs of an entry that was added, has ended or was removed.
const tabs = new BroadcastChannel("gioconda-entries");

export const entryOf = (key: string | null): Entry | undefined => entries.value.find((entry) => entry.key === key);
export const filesOf = (key: string): Promise<Files | undefined> => load<Files>(`files:${key}`);
export const running = (entry: Entry): boolean => !entry.problem && !ended(entry.state);
export const finished = (entry: Entry): boolean => entry.state?.state === "done";

/** Submits a job and shows it on the stage. */
export async function submit(request: JobRequest, files: Files, title: string, name: string): Promise<Entry> {
  const entry: Entry = {
    key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`,
    request,
    files: Object.fromEntries(Object.entries(files).map(([role, list]) => [role, list.map((file) => file.name)])),
    name,
    title,
    job: null,
    state: null,
    sent: 0,
    problem: null,
    thumbnail: null,
    created: Date.now(),
  };
  await save(`files:${entry.key}`, files);
  entries.value = [entry, ...entries.value];
  shown.value = entry.key;
  remember(entry.key);
  void carry(entry.key);
  return entry;
}

/** Changes an entry; every change is remembered but for progress. */
export function change(key: string, changes: Partial<Entry>): void {
  entries.value = entries.value.map((entry) => (entry.key === key ? { ...entry, ...changes } : entry));
  if (!("sent" in changes) && !changes.state?.progress) remember(key);
}

function remember(key: string): void {
  const entry = entryOf(key);
  if (entry) void save(STORED + key, entry).then(() => tabs.postMessage(key));
}

tabs.onmessage = ({ data }: MessageEvent<string>) => void refresh(data);

/** Takes over what another tab has done to an entry. */
async function refresh(key: string): Promise<void> {
  const stored = await load<Entry>(STORED + key);
  const here = entryOf(key);
  if (!stored) forget(key);
  else if (!here) take([stored]);
  else if (!here.job && stored.job) entries.value = entries.value.map((entry) => (entry.key === key ? stored : entry));
}

/** Adds entries to the list, the newest first, and carries on with those that run. */
function take(found: Entry[]): void {
  const here = new Set(entries.value.map((entry) => entry.key));
  const fresh = found.filter((entry) => !here.has(entry.key));
  entries.value = [...entries.value, ...fresh].sort((a, b) => b.created - a.created);
  for (const entry of fresh) if (running(entry)) void carry(entry.key);
}

/** Takes up what the browser remembers: what was not sent is sent, what runs is watched. */
export async function restore(): Promise<void> {
  const stored = await Promise.all((await known(STORED)).map((key) => load<Entry>(key)));
  const found = stored.filter((entry) => entry !== undefined);
  for (const entry of found.filter(expired)) void discard(entry.key);
  take(found.filter((entry) => !expired(entry)));
}

/** Deletes what the browser remembers of an entry. */
async function discard(key: string): Promise<void> {
  await drop(STORED + key);
  await drop(`files:${key}`);
}

const expired = (entry: Entry): boolean =>
  entry.state?.expires != null && entry.state.expires * 1000 < Date.now();

/** Brings an entry to its end: sends it if need be, then watches the job. */
async function carry(key: string): Promise<void> {
  const abort = new AbortController();
  watchers.get(key)?.abort();
  watchers.set(key, abort);
  try {
    if (!entryOf(key)?.job) await alone(key, () => deliver(key, abort.signal));
    const job = entryOf(key)?.job;
    if (job) await watch(job, (state) => change(key, { state }), abort.signal);
  } catch (problem) {
    if (!abort.signal.aborted) change(key, { problem: sentence(problem) });
  } finally {
    if (watchers.get(key) === abort) watchers.delete(key);
  }
}

/** Does something while no other tab does it for the same entry; without locks, the server sorts out what comes twice. */
function alone(key: string, work: () => Promise<void>): Promise<void> {
  if (!navigator.locks) return work();
  return navigator.locks.request(`gioconda-${key}`, async () => {
    if (!entryOf(key)?.job) await work();
  });
}

/** Sends a job, again and again until the server has it or refuses it for good. */
async function deliver(key: string, signal: AbortSignal): Promise<void> {
  const entry = entryOf(key);
  const files = await filesOf(key);
  if (!entry || !files) throw new Refusal("the files of this job are gone; choose them again", 410, 0);
  const wait = pauses();
  while (!signal.aborted) {
    try {
      const state = await upload<JobState>({
        path: "v1/jobs",
        form: formOf(entry.request, files),
        headers: { "Idempotency-Key": key },
        progress: (sent) => change(key, { sent }),
        stalledMilliseconds: STALLED_MILLISECONDS,
      });
      reachable.value = true;
      if (entryOf(key)) change(key, { job: state.id, state });
      else await call(`v1/jobs/${state.id}`, { method: "DELETE" }).catch(() => undefined);
      return;
    } catch (problem) {
      if (problem instanceof Refusal && !problem.passing) throw problem;
      reachable.value = problem instanceof Refusal;
      if (problem instanceof Refusal && problem.retrySeconds) await pause(problem.retrySeconds * 1000);
      else await wait();
    }
  }
}

function formOf(request: JobRequest, files: Files): FormData {
  const form = new FormData();
  form.set("job", JSON.stringify(request));
  for (const [role, list] of Object.entries(files)) for (const file of list) form.append(role, file, file.name);
  return form;
}

/** Stops a job. */
export async function cancel(key: string): Promise<void> {
  const entry = entryOf(key);
  if (!entry?.job) return remove(key);
  change(key, { state: await call(`v1/jobs/${entry.job}/cancel`, { method: "POST" }).then((answer) => answer.json()) });
}

/** Deletes an entry here and on the server. */
export async function remove(key: string): Promise<void> {
  const job = entryOf(key)?.job;
  forget(key);
  await discard(key);
  tabs.postMessage(key);
  if (job) await call(`v1/jobs/${job}`, { method: "DELETE" }).catch(() => undefined);
}

/** Takes an entry off the list of this tab. */
function forget(key: string): void {
  watchers.get(key)?.abort();
  entries.value = entries.value.filter((entry) => entry.key !== key);
  if (shown.value === key) shown.value = null;
}
