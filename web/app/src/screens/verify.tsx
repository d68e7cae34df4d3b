/** Verify: whether a file was made with Gioconda, and what its marks say, in plain words. */

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { submit, type Entry } from "../jobs/entries";
import { slug } from "../media/portrait";
import { Chosen, Drop } from "../ui/controls";

const file = signal<File | null>(null);
const sidecar = signal<File | null>(null);

export function VerifyStage() {
  return (
    <div class="start-words verify-words">
      <h2 class="display">Was this made with Gioconda?</h2>
      <p>Everything that Gioconda makes carries Content Credentials and a watermark. Choose a video or a picture and read what they say.</p>
    </div>
  );
}

export function Verify() {
  const [problem, setProblem] = useState("");
  const begin = () => {
    if (!file.value) return setProblem("Choose a video or a picture first.");
    setProblem("");
    const files = { file: [file.value], ...(sidecar.value ? { sidecar: [sidecar.value] } : {}) };
    void submit({ kind: "verify" }, files, `Check of ${file.value.name}`, `verdict-${slug(file.value.name)}`);
  };
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      {file.value ? (
        <Chosen file={file.value} remove={() => (file.value = null)} />
      ) : (
        <Drop id="verify-file" label="A video or a picture" accept="image/*,video/*,.heic,.avif" take={([first]) => (file.value = first ?? null)} />
      )}
      {sidecar.value ? (
        <Chosen file={sidecar.value} remove={() => (sidecar.value = null)} />
      ) : (
        <Drop id="verify-sidecar" label="Its manifest (.c2pa), if it came beside it" accept=".c2pa" take={([first]) => (sidecar.value = first ?? null)} />
      )}
      <div class="make">
        <button type="button" class="primary large" id="verify" onClick={begin}>
          Verify
        </button>
        <p role="status" class="problem">{problem}</p>
      </div>
    </form>
  );
}

interface VerdictFacts {
  status: string;
  explanation?: string[];
  reasons: string[];
}

const HEADLINES: Record<string, readonly [string, string]> = {
  ours: ["good", "Made with Gioconda, and not changed since"],
  altered: ["warned", "Made with Gioconda, and changed since"],
  unsigned: ["warned", "Made with Gioconda; its manifest is missing"],
  invalid: ["bad", "Credentials that do not hold"],
  unmarked: ["open", "No mark of Gioconda found"],
  unreadable: ["open", "This file cannot be read"],
};

export function Verdict({ address, entry }: { address: string; entry: Entry }) {
  const [facts, setFacts] = useState<VerdictFacts | null>(null);
  useEffect(() => {
    void fetch(address).then(async (answer) => setFacts((await answer.json()) as VerdictFacts));
  }, [address]);
  if (!facts) return null;
  const [colour, headline] = HEADLINES[facts.status] ?? ["open", facts.status];
  const lines = facts.explanation ?? facts.reasons;
  return (
    <section class={`verdict ${colour}`} aria-label="Verdict" role="status">
      <p class="quiet">{entry.title}</p>
      <h2>{headline}</h2>
      {lines.map((line) => (
        <p key={line}>{line}</p>
      ))}
      <details>
        <summary>All that was found</summary>
        <pre tabIndex={0}>{JSON.stringify(facts, null, 2)}</pre>
      </details>
    </section>
  );
}
