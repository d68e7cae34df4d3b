/** Keyframes along a line, with small pictures; they play, and become a film at one press. */

import { useEffect, useRef, useState } from "preact/hooks";
import { KEYFRAMES } from "../api/options";
import { sentence } from "../api/http";
import { keyframesFile } from "../live/session";
import { Icon } from "../ui/icon";
import { playhead } from "./edit";
import { filmFields, make, missing } from "./film";
import { addKey, changeKey, dropKey, edit, endOf, keyframes, lookOf, put, type Easing, type Key } from "./look";
import { KeyThumbnail } from "./thumbnails";

// Seconds from one keyframe to the next, unless the user says otherwise.
const STEP = 1;

const EASING_WORDS: Record<Easing, string> = { smooth: "in one flow", ease: "gently", linear: "at one speed" };

export function Timeline() {
  const { keys } = edit.value;
  const [problem, setProblem] = useState("");
  const report = (error: unknown) => setProblem(sentence(error));
  const add = () => addKey(Math.min(KEYFRAMES.seconds, Math.round(10 * (endOf(keys) + STEP)) / 10));
  return (
    <section class="timeline" aria-label="Keyframes">
      <p class="actions">
        <button type="button" id="add-key" onClick={add}>
          <Icon name="key" />
          Add a keyframe
        </button>
        {keys.length > 0 && (
          <>
            <Play />
            <button type="button" class="primary" id="animate-keys" onClick={() => void animate().catch(report)}>
              Animate with these keyframes
            </button>
            <button type="button" onClick={() => void saveMotion().catch(report)}>
              Save as a motion file
            </button>
          </>
        )}
      </p>
      {keys.length > 0 && (
        <ol class="keys">
          {keys.map((key, index) => <KeyCard key={index} index={index} frame={key} />)}
        </ol>
      )}
      <p role="status" class="problem">{problem}</p>
    </section>
  );
}

function KeyCard({ index, frame }: { index: number; frame: Key }) {
  const number = (label: string, value: number, change: (value: number) => void, low: number) => (
    <label>
      <span>
        {label}<span class="unseen"> seconds</span>
      </span>
      <input
        type="number"
        min={low}
        max={KEYFRAMES.seconds}
        step={0.1}
        value={value}
        onChange={(event) => change(Math.min(KEYFRAMES.seconds, Math.max(low, Number(event.currentTarget.value) || low)))}
      />
    </label>
  );
  return (
    <li>
      <button type="button" class="plain" aria-label={`Show the keyframe at ${frame.time} seconds`} onClick={() => put({ values: frame.values })}>
        <KeyThumbnail look={lookOf(frame.values)} name={JSON.stringify(frame.values)} />
      </button>
      {number("at", frame.time, (time) => changeKey(index, { time }), 0.1)}
      {number("hold", frame.hold, (hold) => changeKey(index, { hold }), 0)}
      <label>
        <span>reach</span>
        <select value={frame.easing} onChange={(event) => changeKey(index, { easing: event.currentTarget.value as Easing })}>
          {KEYFRAMES.easings.map((easing) => (
            <option key={easing} value={easing}>
              {EASING_WORDS[easing]}
            </option>
          ))}
        </select>
      </label>
      <button type="button" class="plain" aria-label={`Delete the keyframe at ${frame.time} seconds`} onClick={() => dropKey(index)}>
        <Icon name="trash" />
      </button>
    </li>
  );
}

function Play() {
  const going = useRef(0);
  const playing = playhead.value !== null;
  useEffect(() => () => stop(going.current), []);
  const begin = () => {
    const began = performance.now();
    const end = endOf(edit.value.keys);
    const step = () => {
      const at = (performance.now() - began) / 1000;
      if (at >= end) return stop(going.current);
      playhead.value = at;
      going.current = requestAnimationFrame(step);
    };
    step();
  };
  return (
    <button type="button" onClick={() => (playing ? stop(going.current) : begin())}>
      <Icon name={playing ? "stop" : "play"} />
      {playing ? "Stop" : "Play"}
    </button>
  );
}

function stop(frame: number): void {
  cancelAnimationFrame(frame);
  playhead.value = null;
}

async function animate(): Promise<void> {
  const lacking = missing();
  if (lacking) throw new Error(lacking);
  const motion = await keyframesFile(keyframes());
  await make({ kind: "animate", ...filmFields() }, { motion: [motion] }, "keyframes");
}

async function saveMotion(): Promise<void> {
  const address = URL.createObjectURL(await keyframesFile(keyframes()));
  const link = document.createElement("a");
  link.href = address;
  link.download = "keyframes.npz";
  link.click();
  // The download needs the address for a moment.
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
