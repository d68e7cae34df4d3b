/** Live: the portrait follows the camera, or speaks what is typed or said, at once. */

import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { EMOTIONS } from "../api/options";
import { sentence } from "../api/http";
import {
  begin, calibrate, cameraPreview, end, endVoice, figures, interrupt, mirrored, on, picture, record, recorded,
  recordedMotion, recording, say, sendVoice, spoken, starting, status, where, type Use,
} from "../live/show";
import { streamMicrophone } from "../live/voice";
import { portrait } from "../media/portrait";
import { Check, Choice, Select } from "../ui/controls";
import { Icon } from "../ui/icon";
import { filmFields, make, MakeButton, missing } from "./film";
import { PortraitView } from "./portrait";

const use = signal<Use>("live");

export function LiveStage() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useSignalEffect(() => paint(canvas.current, picture.value));
  return (
    <>
      <div class="picture live-picture">
        {!picture.value && <PortraitView choice={portrait.value!} />}
        <canvas ref={canvas} id="live" class="seen" hidden={!picture.value} role="img" aria-label="The live portrait" />
        {cameraPreview.value && <CameraPreview video={cameraPreview.value} />}
      </div>
      <p class="figures" id="live-figures">{figures.value}</p>
      {spoken.value.length > 0 && on.value === "voice" && <p class="said">{spoken.value.map((word) => word.text).join(" ")}</p>}
      <p class="actions">
        {on.value ? (
          <button type="button" class="primary" id="live-stop" onClick={() => end("Stopped. Nothing of the camera was kept.")}>
            <Icon name="stop" />
            Stop
          </button>
        ) : (
          <button type="button" class="primary" id="live-start" disabled={starting.value} onClick={() => void begin(use.value)}>
            <Icon name="play" />
            Start
          </button>
        )}
        {on.value && <CleanWindow />}
        {on.value === "live" && (
          <>
            <button type="button" onClick={calibrate}>Take my face at rest</button>
            <button type="button" aria-pressed={recording.value} onClick={() => record(!recording.value)}>
              <Icon name={recording.value ? "stop" : "record"} />
              {recording.value ? "Stop recording" : "Record"}
            </button>
          </>
        )}
        {on.value === "voice" && <button type="button" id="interrupt" onClick={interrupt}>Interrupt</button>}
      </p>
      <p role="status" class="phase" id="live-status">{status.value}</p>
    </>
  );
}

function paint(canvas: HTMLCanvasElement | null, bitmap: ImageBitmap | null): void {
  if (!canvas || !bitmap) return;
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
}

function CameraPreview({ video }: { video: HTMLVideoElement }) {
  const own = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    own.current!.srcObject = video.srcObject;
  }, [video]);
  return <video ref={own} class={mirrored.value ? "camera-preview mirrored" : "camera-preview"} autoplay muted playsInline aria-label="Your camera" />;
}

/** A window with nothing but the portrait, for programs that capture windows. */
function CleanWindow() {
  const [clean, setClean] = useState<HTMLCanvasElement | null>(null);
  useSignalEffect(() => paint(clean, picture.value));
  const open = () => {
    const size = picture.value ? `width=${picture.value.width},height=${picture.value.height}` : "width=512,height=512";
    const opened = window.open("", "gioconda-live", `popup,${size}`);
    if (!opened) return;
    const page = opened.document;
    page.title = "Gioconda live";
    const canvas = page.createElement("canvas");
    canvas.style.cssText = "display:block;width:100vw;height:100vh;object-fit:contain";
    page.body.style.cssText = "margin:0;background:#000";
    page.body.replaceChildren(canvas);
    setClean(canvas);
  };
  return (
    <button type="button" id="clean" onClick={open}>
      <Icon name="window" />
      Clean window
    </button>
  );
}

export function Live() {
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      <Choice
        segmented
        label="What moves the portrait"
        value={use.value}
        options={[["live", "My face"], ["voice", "A voice"]]}
        choose={(chosen) => {
          if (on.value) end("");
          use.value = chosen;
        }}
      />
      {use.value === "live" ? <FaceForm /> : <VoiceForm />}
    </form>
  );
}

function FaceForm() {
  return (
    <>
      <p class="quiet">
        The portrait moves as your face does, from where it rests. Tracked in this browser, your face never leaves it:
        only landmarks do. Nothing of the camera is kept.
      </p>
      <Check label="Mirror, as in a looking-glass" on={mirrored.value} turn={(turned) => (mirrored.value = turned)} />
      <Select
        label="Where your face is tracked"
        value={where.value}
        options={[["auto", "Where it is quicker"], ["browser", "In this browser"], ["server", "On the server"]]}
        choose={(place) => (where.value = place as typeof where.value)}
      />
      {recorded.value && <Recording />}
    </>
  );
}

function Recording() {
  const [problem, setProblem] = useState("");
  const report = (error: unknown) => setProblem(sentence(error));
  const film = async () => {
    const lacking = missing();
    if (lacking) return setProblem(lacking);
    await make({ kind: "animate", ...filmFields() }, { motion: [await recordedMotion("npz")] }, "live");
  };
  const save = async (format: "npz" | "csv") => {
    const file = await recordedMotion(format);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = file.name;
    link.click();
    // The download needs the address for a moment.
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  return (
    <section aria-label="Recording">
      <MakeButton id="live-film" label="Make a signed film of the recording" make={() => void film().catch(report)} problem={problem} />
      <p class="actions">
        <button type="button" onClick={() => void save("npz").catch(report)}>Motion (.npz)</button>
        <button type="button" onClick={() => void save("csv").catch(report)}>Motion (.csv)</button>
      </p>
    </section>
  );
}

const text = signal("Hello. I can hear you, and I can answer.");
const voice = signal("f2");
const emotion = signal("");

function VoiceForm() {
  const live = on.value === "voice";
  const submit = () => {
    if (text.value.trim()) say(text.value.trim(), voice.value, "en", emotion.value);
  };
  return (
    <>
      <p class="quiet">Write a sentence, or speak: the portrait says it at once, and waits for the next.</p>
      <label class="field">
        <span>What it says</span>
        <textarea id="live-text" rows={3} value={text.value} onInput={(event) => (text.value = event.currentTarget.value)} />
      </label>
      <Select label="Voice" value={voice.value} options={[["", "Plain"], ["f2", "Woman"], ["m1", "Man"]]} choose={(word) => (voice.value = word)} />
      <Select
        label="Emotion"
        value={emotion.value}
        options={[["", "None"], ...EMOTIONS.map((word) => [word, word.charAt(0).toUpperCase() + word.slice(1)] as const)]}
        choose={(word) => (emotion.value = word)}
      />
      <button type="button" class="primary large" id="say" disabled={!live} onClick={submit}>
        Say it
      </button>
      <Microphone live={live} />
    </>
  );
}

function Microphone({ live }: { live: boolean }) {
  const [stop, setStop] = useState<(() => void) | null>(null);
  const toggle = async () => {
    if (stop) {
      stop();
      endVoice();
      setStop(null);
      return;
    }
    const ending = await streamMicrophone(sendVoice).catch(() => null);
    if (ending) setStop(() => ending);
    else status.value = "No microphone can be used, or it was not allowed.";
  };
  return (
    <button type="button" disabled={!live} aria-pressed={stop !== null} onClick={() => void toggle()}>
      <Icon name="mic" />
      {stop ? "Stop listening" : "Let it say what I say"}
    </button>
  );
}
