/** Which tool is open; the address keeps it over a reload. */

import { signal } from "@preact/signals";
import { shown } from "./jobs/entries";

export const TOOLS = [
  ["move", "Move"],
  ["speak", "Speak"],
  ["edit", "Edit"],
  ["live", "Live"],
  ["person", "Person"],
  ["verify", "Verify"],
] as const;

export type Tool = (typeof TOOLS)[number][0];

const fromAddress = (): Tool => TOOLS.find(([word]) => word === location.hash.slice(1))?.[0] ?? "move";

export const tool = signal<Tool>(fromAddress());

// These draw on the stage themselves.
const OWN_STAGE: readonly Tool[] = ["edit", "live", "person", "verify"];

export function open(chosen: Tool): void {
  tool.value = chosen;
  if (OWN_STAGE.includes(chosen)) shown.value = null;
  history.replaceState(null, "", `#${chosen}`);
}

window.addEventListener("hashchange", () => open(fromAddress()));
