/** Edit: sliders, presets, drag on the face and keyframes; each change is one picture of the session. */

import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ARKIT_NAMES, PRESETS } from "../api/options";
import { sentence } from "../api/http";
import { pictured, preparing, session } from "../live/session";
import { isVideo, portrait } from "../media/portrait";
import { Fold, Range } from "../ui/controls";
import { Icon } from "../ui/icon";
import { useProblem } from "../ui/problem";
import { Emotion, film, filmFields, FilmFold, make, MakeButton, missing } from "./film";
import { canRedo, canUndo, edit, keyframes, lookOf, move, put, redo, settle, undo, type Values } from "./look";
import { PortraitView } from "./portrait";
import { SLIDERS, type Slider } from "./sliders";
import { Timeline } from "./timeline";

type Wanted = { path: "look" | "play"; body: unknown; asked: number };

/** The second of the keyframes that plays now; null while the sliders show. */
export const playhead = signal<number | null>(null);
const picture = signal<ImageBitmap | null>(null);
let wanted: Wanted | null = null;
let busy = false;

function ask(path: Wanted["path"], body: unknown): void {
  wanted = { path, body, asked: performance.now() };
  void pump();
}

// The latest look wins; one request is under way at a time.
async function pump(): Promise<void> {
  if (busy || !wanted || !session.value) return;
  const { path, body, asked } = wanted;
  wanted = null;
  busy = true;
  try {
    const blob = await pictured(path, body);
    if (blob) {
      picture.value = await createImageBitmap(blob);
      window.dispatchEvent(new CustomEvent("drawn", { detail: { asked } }));
    }
  } catch {
    // The next change asks again.
  } finally {
    busy = false;
  }
  if (wanted) void pump();
}

/** Draws each change of the sliders, while the editor is open. */
function follow(): () => void {
  return effect(() => {
    const { values } = edit.value;
    const { emotion, mood } = film.value;
    if (!session.value) return;
    if (playhead.value === null) ask("look", { ...lookOf(values), ...(emotion ? { emotion, strength: mood } : {}) });
    else ask("play", { keys: keyframes(), at: playhead.value });
  });
}

export function EditStage() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(follow, []);
  useEffect(() => {
    const shown = picture.value;
    if (!shown || !canvas.current) return;
    canvas.current.width = shown.width;
    canvas.current.height = shown.height;
    canvas.current.getContext("2d")!.drawImage(shown, 0, 0);
  }, [picture.value]);
  const ready = session.value !== null && picture.value !== null;
  const choice = portrait.value!;
  if (isVideo(choice)) return <p class="phase">Edit takes a picture. Choose one as the portrait.</p>;
  return (
    <>
      <div class="picture">
        {!ready && <PortraitView choice={choice} />}
        <canvas
          ref={canvas}
          id="editor"
          class="seen"
          hidden={!ready}
          role="img"
          aria-label="The portrait with the sliders' expression"
          title="Drag the face: aside and up to turn the head, on the mouth to open it and smile, on the eyes to move them"
          onPointerDown={(event) => drag(event, canvas.current!)}
        />
      </div>
      <p class="actions">
        <button type="button" disabled={!canUndo.value} onClick={undo}>
          <Icon name="undo" />
          Undo
        </button>
        <button type="button" disabled={!canRedo.value} onClick={redo}>
          <Icon name="redo" />
          Redo
        </button>
        <button type="button" onClick={() => put({ values: {} })}>
          Reset
        </button>
        <span class="quiet" role="status">{preparing.value ? "Getting ready" : ""}</span>
      </p>
      <Timeline />
    </>
  );
}

// A drag over the whole picture, in degrees of yaw and pitch.
const TURN = { yaw: 60, pitch: 45 };
// Heights of the picture, as shares, between which a drag moves the eyes and the mouth.
const ZONES = { eyes: [0.36, 0.5], mouth: [0.6, 0.74] } as const;
const MIDDLE = [0.32, 0.68] as const;

/** Follows the pointer from where the face was taken hold of. */
function drag(event: PointerEvent, canvas: HTMLCanvasElement): void {
  const box = canvas.getBoundingClientRect();
  const start = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  const from = { ...edit.value.values };
  const inside = (value: number, [low, high]: readonly [number, number]) => value >= low && value < high;
  const middle = inside(start.x, MIDDLE);
  const zone = middle && inside(start.y, ZONES.eyes) ? "eyes" : middle && inside(start.y, ZONES.mouth) ? "mouth" : "head";
  canvas.setPointerCapture(event.pointerId);
  const moved = (step: PointerEvent) => {
    const x = (step.clientX - box.left) / box.width - start.x;
    const y = (step.clientY - box.top) / box.height - start.y;
    move(dragged(zone, from, x, y));
  };
  const done = () => {
    canvas.removeEventListener("pointermove", moved);
    settle();
  };
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", done, { once: true });
  canvas.addEventListener("pointercancel", done, { once: true });
}

const clamp = (value: number, low: number, high: number): number => Math.round(100 * Math.min(high, Math.max(low, value))) / 100;

function dragged(zone: "eyes" | "mouth" | "head", from: Values, x: number, y: number): Values {
  const old = (name: string): number => from[name] ?? 0;
  if (zone === "eyes") return { gaze_x: clamp(old("gaze_x") + 4 * x, -1, 1), gaze_y: clamp(old("gaze_y") - 4 * y, -1, 1) };
  if (zone === "mouth") {
    const smile = clamp(old("mouthSmileLeft") + 3 * Math.abs(x), 0, 1);
    return { jawOpen: clamp(old("jawOpen") + 4 * y, 0, 1), mouthSmileLeft: smile, mouthSmileRight: smile };
  }
  return { yaw: clamp(old("yaw") + TURN.yaw * x, -34, 34), pitch: clamp(old("pitch") - TURN.pitch * y, -26, 26) };
}

export function Edit() {
  const [problem, setProblem] = useProblem();
  const save = async () => {
    const lacking = missing();
    setProblem(lacking ?? "");
    if (!lacking) await still().catch((error: unknown) => setProblem(sentence(error)));
  };
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      <fieldset class="presets">
        <legend>Expressions</legend>
        {Object.entries(PRESETS).map(([label, values]) => (
          <button type="button" key={label} onClick={() => put({ values: { ...posed(), ...values } })}>
            {label}
          </button>
        ))}
      </fieldset>
      <Emotion />
      {Object.entries(SLIDERS).map(([title, sliders]) => (
        <fieldset key={title} class="sliders">
          <legend>{title}</legend>
          {sliders.map((slider) => <Row key={slider.label} slider={slider} />)}
        </fieldset>
      ))}
      <Fold title={`All ${ARKIT_NAMES.length} ARKit names, each side alone`}>
        <p class="quiet">Left and right are the person's own. tongueOut moves nothing yet.</p>
        {ARKIT_NAMES.map((name) => <Row key={name} slider={{ label: name, names: [name], low: 0, high: 1 }} />)}
      </Fold>
      <FilmFold />
      <MakeButton id="edit" label="Save as a signed picture" make={() => void save()} problem={problem} />
    </form>
  );
}

const posed = (): Values =>
  Object.fromEntries(Object.entries(edit.value.values).filter(([name]) => !(ARKIT_NAMES as readonly string[]).includes(name)));

function Row({ slider }: { slider: Slider }) {
  const values = slider.names.map((name) => edit.value.values[name] ?? 0);
  const value = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
  return (
    <Range
      label={slider.label}
      value={value}
      low={slider.low}
      high={slider.high}
      step={slider.unit ? 0.5 : 0.01}
      unit={slider.unit}
      spoken="degrees"
      move={(next) => move(Object.fromEntries(slider.names.map((name) => [name, next])))}
      settle={settle}
    />
  );
}

async function still(): Promise<void> {
  const { format: _, face, ...fields } = filmFields();
  const single = face === "all" ? 0 : face;
  await make({ kind: "edit", ...fields, face: single, ...lookOf(edit.value.values) }, {}, "edited");
}
