/** What this server is and can do. */

import { computed, signal } from "@preact/signals";
import { PURPOSES } from "./api/options";
import { callJson } from "./api/http";
import type { ServerFacts } from "./api/types";
import { pauses } from "./jobs/patience";

export const server = signal<ServerFacts | null>(null);
export const purposes = computed<readonly string[]>(
  () => server.value?.purposes.filter((purpose) => purpose.available).map((purpose) => purpose.name) ?? PURPOSES,
);

export async function meet(): Promise<void> {
  const wait = pauses();
  for (;;) {
    try {
      server.value = await callJson<ServerFacts>("v1/server");
      return;
    } catch {
      await wait();
    }
  }
}
