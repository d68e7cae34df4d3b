/** Move: a ready-made motion, or one out of a video, a picture or a file. */

import { effect, signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { MOTION_SUFFIXES, REGIONS, STRENGTH, TEMPLATES } from "../api/options";
import { sentence } from "../api/http";
import { Check, Chosen, Drop, Range, Select } from "../ui/controls";
import { Playback } from "../ui/playback";
import { useProblem } from "../ui/problem";
import { CameraClip } from "./camera";
import { Emotion, filmFields, FilmFold, make, MakeButton, missing } from "./film";
import { MorePhotos, photoFiles } from "./photos";
import { TemplateThumbnail } from "./thumbnails";

export const driver = signal<File | null>(null);

interface Choices {
  template: string;
  strength: number;
  region: string;
  absolute: boolean;
  audio: boolean;
}

const choices = signal<Choices>({
  template: "smile",
  strength: STRENGTH.default,
  region: REGIONS[0],
  absolute: false,
  audio: true,
});
interface Trim {
  /** Seconds of the driver at which the used part begins. */
  start: number;
  /** Seconds at which it ends; null for the end of the driver. */
  end: number | null;
}

const WHOLE: Trim = { start: 0, end: null };
const trim = signal<Trim>(WHOLE);
// A trim belongs to its driver.
effect(() => {
  if (driver.value !== undefined) trim.value = WHOLE;
});
// Steps of the trim's sliders in a second, and the seconds of the shortest part that they leave.
const TRIM_STEPS = 10;
const SHORTEST_PART = 0.2;

/** The request's fields of a trim. */
const partOf = ({ start, end }: Trim): Partial<Trim> => ({ ...(start > 0 ? { start } : {}), ...(end !== null ? { end } : {}) });

const set = (changes: Partial<Choices>): void => {
  choices.value = { ...choices.value, ...changes };
};

const REGION_WORDS: Record<string, string> = {
  all: "Everything",
  pose: "The head's pose",
  expression: "The expression",
  lips: "The lips",
  eyes: "The eyes",
};
export const templateWords = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1).replace("-", " ");

export function Move() {
  const [problem, setProblem] = useProblem();
  const { template, strength } = choices.value;
  const file = driver.value;
  const begin = async () => {
    const lacking = missing();
    setProblem(lacking ?? "");
    if (!lacking) await animate().catch((error: unknown) => setProblem(sentence(error)));
  };
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      <fieldset class="templates" disabled={file !== null}>
        <legend>A motion</legend>
        {TEMPLATES.map((word) => (
          <label key={word} class="template">
            <input type="radio" name="template" value={word} checked={!file && word === template} onChange={() => set({ template: word })} />
            <TemplateThumbnail template={word} />
            <span>{templateWords(word)}</span>
          </label>
        ))}
      </fieldset>
      <Driver />
      <Range label="Strength" value={strength} low={STRENGTH.low} high={STRENGTH.high} step={0.05} unit="×" spoken="times" move={(value) => set({ strength: value })} />
      <Emotion />
      <FilmFold>
        <MoveOptions />
      </FilmFold>
      <MakeButton id="animate" label="Animate" make={() => void begin()} problem={problem} />
    </form>
  );
}

function MoveOptions() {
  const { region, absolute, audio } = choices.value;
  const regions = REGIONS.map((word) => [word, REGION_WORDS[word] ?? word] as const);
  return (
    <>
      <Select label="What is transferred" value={region} options={regions} choose={(word) => set({ region: word })} />
      <Check label="Take the driver's own pose and expression, not changes from rest" on={absolute} turn={(on) => set({ absolute: on })} />
      <Check label="Keep the driver's sound" on={audio} turn={(on) => set({ audio: on })} />
      <MorePhotos />
    </>
  );
}

const DRIVER_TYPES = ["video/*", "image/*", "audio/*", ...MOTION_SUFFIXES].join(",");

function Driver() {
  const [recording, setRecording] = useState(false);
  const file = driver.value;
  if (recording) {
    return <CameraClip done={(clip) => (setRecording(false), clip && (driver.value = clip))} />;
  }
  if (file) {
    return (
      <div class="driver">
        <TrimmedDriver key={file.name + file.lastModified} file={file} />
        <Chosen file={file} remove={() => (driver.value = null)} />
      </div>
    );
  }
  return (
    <div class="driver">
      <Drop id="driver" label="Or your own: a video, a picture of an expression, a motion file" accept={DRIVER_TYPES} take={([first]) => (driver.value = first ?? null)} />
      <button type="button" class="link" onClick={() => setRecording(true)}>
        Record yourself
      </button>
    </div>
  );
}

/** A driver; of a video, the part that is used is chosen by its first and its last moment. */
function TrimmedDriver({ file }: { file: File }) {
  const [seconds, setSeconds] = useState(0);
  const [at, setAt] = useState<number>();
  const { start, end } = trim.value;
  const to = (changes: Partial<Trim>) => {
    trim.value = { ...trim.value, ...changes };
    setAt(Object.values(changes)[0] ?? undefined);
  };
  const range = (label: string, value: number, move: (seconds: number) => void) => (
    <Range label={label} value={value} low={0} high={seconds} step={1 / TRIM_STEPS} unit=" s" spoken="seconds" move={move} />
  );
  return (
    <>
      <Playback file={file} label="The driver" at={at} known={(length) => setSeconds(Math.floor(length * TRIM_STEPS) / TRIM_STEPS)} />
      {seconds > SHORTEST_PART && (
        <>
          {range("From", start, (moment) => to({ start: Math.min(moment, (end ?? seconds) - SHORTEST_PART) }))}
          {range("To", end ?? seconds, (moment) => to({ end: moment >= seconds ? null : Math.max(moment, start + SHORTEST_PART) }))}
        </>
      )}
    </>
  );
}

async function animate(): Promise<void> {
  const { template, strength, region, absolute, audio } = choices.value;
  const file = driver.value;
  const request = {
    kind: "animate" as const,
    strength,
    region,
    absolute,
    audio,
    ...filmFields(),
    ...(file ? partOf(trim.value) : { template }),
  };
  const files = { ...(file ? { motion: [file] } : {}), ...photoFiles() };
  await make(request, files, file ? file.name.replace(/\.[^.]+$/, "") : template.replace("-", " "));
}
