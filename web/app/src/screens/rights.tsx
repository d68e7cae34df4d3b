/** The declaration beside the user's own picture: what entitles to the likeness. Packaged pictures carry theirs. */

import { useState } from "preact/hooks";
import { RIGHTS_CHARACTERS } from "../api/options";
import { declare, declared, type PortraitChoice } from "../media/portrait";

const RIGHTS = [
  "It is my own likeness",
  "The person shown has agreed to this",
  "The picture is in the public domain, and nobody living is shown",
] as const;
const OTHER = "Something else";

export function Declaration({ choice }: { choice: PortraitChoice }) {
  const right = choice.rights ?? declared.value;
  if (!right) return <Question />;
  return (
    <p class="declared" id="declared">
      <span class="quiet">Declared:</span> {right}.{" "}
      {!choice.rights && (
        <button type="button" class="link" onClick={() => declare(null)}>
          Change
        </button>
      )}
    </p>
  );
}

function Question() {
  const [chosen, setChosen] = useState("");
  const [words, setWords] = useState("");
  const [problem, setProblem] = useState("");
  const confirm = () => {
    const right = (chosen === OTHER ? words : chosen).trim();
    const { low, high } = RIGHTS_CHARACTERS;
    if (!chosen) setProblem("Choose what entitles you to use this likeness.");
    else if (right.length < low || right.length > high) setProblem(`Say it in ${low} to ${high} characters.`);
    else declare(right);
  };
  return (
    <section class="rights" aria-label="Your right to this likeness">
      <h3>May you use this face?</h3>
      <p class="quiet">Say why, once. Your answer is signed into everything that you make.</p>
      <fieldset class="choice">
        <legend class="unseen">Your right</legend>
        {[...RIGHTS, OTHER].map((right) => (
          <label key={right}>
            <input type="radio" name="right" checked={chosen === right} onChange={() => setChosen(right)} />
            <span>{right}</span>
          </label>
        ))}
      </fieldset>
      {chosen === OTHER && (
        <label class="field">
          <span>In your own words</span>
          <input
            type="text"
            maxLength={RIGHTS_CHARACTERS.high}
            value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
          />
        </label>
      )}
      <button type="button" class="primary" id="declare" onClick={confirm}>
        Declare
      </button>
      <p role="status" class="problem">
        {problem}
      </p>
    </section>
  );
}
