/** What every film and picture can be asked for: how it looks and in what it is kept. */

import { signal } from "@preact/signals";
import { EMOTIONS, FILM_FORMATS } from "../api/options";
import type { Files, JobRequest } from "../api/types";
import { submit } from "../jobs/entries";
import { portrait, rightOf, slug } from "../media/portrait";
import { session } from "../live/session";
import { Check, Choice, Fold, Range, Select } from "../ui/controls";
import { EmotionThumbnail } from "./thumbnails";

export interface FilmOptions {
  crop: boolean;
  size: string;
  format: string;
  label: boolean;
  refine: boolean;
  emotion: string;
  mood: number;
  everyone: boolean;
  background: string;
}

export const film = signal<FilmOptions>({
  crop: false,
  size: "",
  format: FILM_FORMATS[0],
  label: false,
  refine: true,
  emotion: "",
  mood: 0.7,
  everyone: false,
  background: "",
});

const set = (changes: Partial<FilmOptions>): void => {
  film.value = { ...film.value, ...changes };
};

const SIZES = [["", "As it is"], ["256", "256 px"], ["512", "512 px"], ["720", "720 px"], ["1080", "1080 px"]] as const;
const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1);

/** A request's fields out of the options. */
export function filmFields(): Record<string, unknown> {
  const { crop, size, format, label, refine, emotion, mood, everyone, background } = film.value;
  return {
    crop,
    format,
    label,
    refine,
    face: everyone ? "all" : (portrait.value?.face ?? 0),
    ...(size ? { size: Number(size) } : {}),
    ...(emotion ? { emotion: `${emotion}:${mood}` } : {}),
    ...(background ? { background } : {}),
  };
}

export function Emotion() {
  const { emotion, mood } = film.value;
  return (
    <>
      <fieldset class="templates emotions">
        <legend>An emotion</legend>
        {["", ...EMOTIONS].map((word) => (
          <label key={word} class="template">
            <input type="radio" name="emotion" checked={word === emotion} onChange={() => set({ emotion: word })} />
            <EmotionThumbnail emotion={word} />
            <span>{word || "none"}</span>
          </label>
        ))}
      </fieldset>
      {emotion && <Range label="How strong" value={mood} low={0} high={1} step={0.05} move={(value) => set({ mood: value })} />}
    </>
  );
}

export function FilmFold({ children }: { children?: preact.ComponentChildren }) {
  const options = film.value;
  const formats = FILM_FORMATS.map((word) => [word, word.toUpperCase()] as const);
  return (
    <Fold title="More options">
      {children}
      <Check label="Only the face, as a square" on={options.crop} turn={(crop) => set({ crop })} />
      <Select label="Longest side" value={options.size} options={SIZES} choose={(size) => set({ size })} />
      <Choice segmented label="Format" value={options.format} options={formats} choose={(format) => set({ format })} />
      {(session.value?.faces.length ?? 0) > 1 && (
        <Check label="Every face moves" on={options.everyone} turn={(everyone) => set({ everyone })} />
      )}
      <Check label="Write a visible label into the picture" on={options.label} turn={(label) => set({ label })} />
      <Check label="Let a small network repair mouth and eyes" on={options.refine} turn={(refine) => set({ refine })} />
    </Fold>
  );
}

/** What is missing before anything can be made; null where nothing is. */
export function missing(): string | null {
  if (!portrait.value) return "Choose a portrait first.";
  return rightOf(portrait.value) ? null : "Declare first what entitles you to use this likeness.";
}

/** Submits a job of the chosen portrait. */
export async function make(request: JobRequest, files: Files, what: string): Promise<void> {
  const choice = portrait.value!;
  const title = `${capital(choice.name)}: ${what}`;
  const all = { portrait: [choice.file], ...files };
  await submit({ ...request, rights: rightOf(choice) }, all, title, `${slug(choice.name)}-${slug(what)}`);
  document.querySelector(".stage")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

/** The button that makes something, with what is missing or wrong below. */
export function MakeButton({ label, id, make, problem }: { label: string; id: string; make: () => void; problem: string }) {
  return (
    <div class="make">
      <button type="button" class="primary large" id={id} onClick={make}>
        {label}
      </button>
      <p role="status" class="problem">{problem}</p>
    </div>
  );
}
