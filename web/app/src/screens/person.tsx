/** Person: photos or films of one person give a file for later films of this person. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { PURPOSES } from "../api/options";
import { submit } from "../jobs/entries";
import { declared, slug, wordsOf } from "../media/portrait";
import { purposes } from "../server";
import { Choice, Chosen, Drop } from "../ui/controls";
import { Declaration } from "./rights";

const sources = signal<File[]>([]);
const purpose = signal<string>(PURPOSES[0]);

const WORDS: Record<string, string> = {
  photos: "Photos, or a film, that later films are drawn from",
  speech: "A video that says other words: this person's mouths",
};
// What each purpose makes, in titles and at the end of files' names.
const RESULTS: Record<string, readonly [string, string]> = {
  photos: ["person file", "person"],
  speech: ["mouths", "mouths"],
};

export function PersonStage() {
  return (
    <div class="start-words verify-words">
      <h2 class="display">One person, many films</h2>
      <dl class="kinds">
        <dt>A person file</dt>
        <dd>
          A few photos, or a short film. It goes in as a portrait, and each frame of a later film is drawn from the photo
          that comes nearest. It takes seconds.
        </dd>
        <dt>Mouths</dt>
        <dd>Collected from videos of a person. With them, a video of the same person says other words.</dd>
      </dl>
      <p class="quiet">A person file contains pictures of the person. Keep and share it as you would the photos.</p>
    </div>
  );
}

export function Person() {
  const [problem, setProblem] = useState("");
  const able = PURPOSES.filter((word) => purposes.value.includes(word));
  const options = able.map((word) => [word, WORDS[word] ?? word] as const);
  const chosen = able.includes(purpose.value as never) ? purpose.value : (able[0] ?? "");
  const begin = () => {
    if (!sources.value.length) return setProblem("Choose photos or a film of one person first.");
    if (!declared.value) return setProblem("Declare first what entitles you to use this likeness.");
    setProblem("");
    const name = wordsOf(sources.value[0]!);
    const request = { kind: "adapt" as const, purpose: chosen, rights: declared.value };
    const [title, ending] = RESULTS[chosen] ?? [chosen, chosen];
    void submit(request, { source: sources.value }, `${name}: ${title}`, `${slug(name)}-${ending}`);
  };
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      <Drop id="sources" label="Photos or films of one person" accept="image/*,video/*,.heic,.avif" several take={(files) => (sources.value = [...sources.value, ...files])} />
      {sources.value.map((file) => (
        <Chosen key={file.name} file={file} remove={() => (sources.value = sources.value.filter((other) => other !== file))} />
      ))}
      {sources.value.length > 0 && <Declaration choice={{ file: sources.value[0]!, name: "", rights: null, face: 0, photo: null, address: "" }} />}
      <Choice label="What for" value={chosen} options={options} choose={(word) => (purpose.value = word)} />
      <div class="make">
        <button type="button" class="primary large" id="adapt" onClick={begin}>
          Prepare
        </button>
        <p role="status" class="problem">{problem}</p>
      </div>
    </form>
  );
}
