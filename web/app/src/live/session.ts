/** A prepared portrait on the server, which answers with single pictures: previews, sliders, keyframes. */

import { computed, effect, signal } from "@preact/signals";
import { call, callJson, Refusal, sentence } from "../api/http";
import type { SessionFacts } from "../api/types";
import { entries, running } from "../jobs/entries";
import { isIdentity, isVideo, portrait, rightOf, type PortraitChoice } from "../media/portrait";

export const session = signal<SessionFacts | null>(null);
export const sessionProblem = signal<string | null>(null);
/** Whether the portrait is being prepared. */
export const preparing = signal(false);

const PREPARE_MILLISECONDS = 90000;
let wanted = 0;
// Ends the requests of a session before the session itself ends.
let requests = new AbortController();

/** Prepares a portrait, in pictures of a side in pixels (the server's default without one); the caller ends the session with `endSession`. */
export async function openSession(
  use: SessionFacts["use"],
  choice: PortraitChoice,
  rights: string,
  side?: number,
): Promise<SessionFacts> {
  const form = new FormData();
  form.set("session", JSON.stringify({ use, rights, face: choice.face, side }));
  form.set("portrait", choice.file, choice.file.name);
  const answer = await call("v1/sessions", { method: "POST", body: form }, PREPARE_MILLISECONDS);
  return (await answer.json()) as SessionFacts;
}

export function endSession(id: string): void {
  // The request outlives the page.
  void fetch(`v1/sessions/${id}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
}

const working = computed(() => entries.value.some(running));

/** Keeps a session for previews and sliders open for the chosen portrait. */
export function followPortrait(): void {
  effect(() => {
    void [portrait.value, rightOf(portrait.value)];
    leave();
    wanted += 1;
    preparing.value = false;
    sessionProblem.value = null;
  });
  effect(() => {
    const choice = portrait.value;
    const rights = rightOf(choice);
    if (!choice || !rights || isVideo(choice) || isIdentity(choice)) return;
    if (session.value || preparing.value || sessionProblem.value) return;
    // The film of a ready pair comes first.
    if (!choice.rights || !working.value) void prepare(choice, rights, ++wanted);
  });
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) renew();
  });
}

/** Ends the present session, if there is one. */
function leave(): void {
  requests.abort();
  requests = new AbortController();
  const old = session.peek();
  session.value = null;
  if (old) endSession(old.id);
}

async function prepare(choice: PortraitChoice, rights: string, turn: number): Promise<void> {
  preparing.value = true;
  try {
    const opened = await openSession("edit", choice, rights);
    if (turn === wanted) session.value = opened;
    else endSession(opened.id);
  } catch (problem) {
    if (turn === wanted) sessionProblem.value = sentence(problem);
  } finally {
    if (turn === wanted) preparing.value = false;
  }
}

/** Prepares the portrait again, after its session has ended. */
export function renew(): void {
  session.value = null;
  sessionProblem.value = null;
}

/** A picture of the session; null where the session has ended, which begins a new one. */
export async function pictured(path: "look" | "play", body: unknown): Promise<Blob | null> {
  const id = session.value?.id;
  if (!id) return null;
  const { signal } = requests;
  try {
    const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
    return await (await call(`v1/sessions/${id}/${path}`, init)).blob();
  } catch (problem) {
    if (problem instanceof Refusal && problem.status === 404) {
      if (session.value?.id === id) renew();
      return null;
    }
    if (signal.aborted || (problem instanceof Refusal && problem.status === 429)) return null;
    throw problem;
  }
}

export const keyframesFile = async (keys: unknown): Promise<File> => {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ keys }) };
  return new File([await (await call("v1/motions", init)).blob()], "keyframes.npz");
};

export const refetch = (id: string): Promise<SessionFacts> => callJson<SessionFacts>(`v1/sessions/${id}`);
