/** Follows one job until it has ended, through restarts of the server, cuts of the network and sleep. */

import { signal } from "@preact/signals";
import { callJson, Refusal } from "../api/http";
import { ended, type JobState } from "../api/types";
import { pauses } from "./patience";

/** Whether the server answers. */
export const reachable = signal(true);

// A stream of events that says nothing for so long is asked whether it is still there.
const QUIET_MILLISECONDS = 4000;
const LOOK_MILLISECONDS = 1000;

/** Calls `tell` with each state until the last; resolves then. Rejects with a Refusal if the job does not exist. */
export async function watch(job: string, tell: (state: JobState) => void, signal: AbortSignal): Promise<void> {
  let wait = pauses();
  const hear = (state: JobState) => {
    // The next pause is a short one again.
    wait = pauses();
    tell(state);
  };
  while (!signal.aborted) {
    try {
      const state = await callJson<JobState>(`v1/jobs/${job}`, undefined, { signal });
      reachable.value = true;
      tell(state);
      if (ended(state)) return;
      if (await listen(job, hear, signal)) return;
    } catch (problem) {
      if (problem instanceof Refusal && !problem.passing && problem.status < 500) throw problem;
      if (signal.aborted) return;
      reachable.value = false;
    }
    if (!signal.aborted) await wait();
  }
}

/** Listens to the events of a job; true once it has ended, false where the stream broke off or fell silent. */
function listen(job: string, tell: (state: JobState) => void, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const source = new EventSource(`v1/jobs/${job}/events`);
    let heard = performance.now();
    const close = (final: boolean) => {
      source.close();
      clearInterval(timer);
      signal.removeEventListener("abort", leave);
      resolve(final);
    };
    const leave = () => close(false);
    const timer = window.setInterval(() => {
      if (performance.now() - heard > QUIET_MILLISECONDS) close(false);
    }, LOOK_MILLISECONDS);
    source.addEventListener("state", (event) => {
      heard = performance.now();
      const state = JSON.parse(event.data) as JobState;
      tell(state);
      if (ended(state)) close(true);
    });
    source.onerror = leave;
    signal.addEventListener("abort", leave);
  });
}
