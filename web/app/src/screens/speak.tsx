/** Speak: the portrait, or the person of a video, says a text or what a voice says. */

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { LANGUAGES, TEXT_CHARACTERS } from "../api/options";
import { sentence } from "../api/http";
import { isVideo, portrait } from "../media/portrait";
import { Choice, Chosen, Drop, Select } from "../ui/controls";
import { Icon } from "../ui/icon";
import { Playback } from "../ui/playback";
import { useProblem } from "../ui/problem";
import { Emotion, filmFields, FilmFold, make, MakeButton, missing } from "./film";
import { MorePhotos, photoFiles } from "./photos";

const VOICES = [
  ["", "Plain"],
  ["f1", "Woman 1"],
  ["f2", "Woman 2"],
  ["f3", "Woman 3"],
  ["m1", "Man 1"],
  ["m3", "Man 3"],
] as const;

interface Choices {
  how: "text" | "sound";
  text: string;
  language: string;
  voice: string;
}

const choices = signal<Choices>({
  how: "text",
  text: "Good evening. I have been waiting here for quite some time.",
  language: navigator.language.slice(0, 2) || "en",
  voice: "f2",
});
const sound = signal<File | null>(null);
const bank = signal<File | null>(null);
const set = (changes: Partial<Choices>): void => {
  choices.value = { ...choices.value, ...changes };
};

export function Speak() {
  const [problem, setProblem] = useProblem();
  const { how } = choices.value;
  const begin = async () => {
    const lacking = missing() ?? wordless();
    setProblem(lacking ?? "");
    if (!lacking) await speak().catch((error: unknown) => setProblem(sentence(error)));
  };
  return (
    <form class="tool" onSubmit={(event) => event.preventDefault()}>
      <Choice segmented label="What is said" value={how} options={[["text", "A text"], ["sound", "A voice"]]} choose={(word) => set({ how: word })} />
      {how === "text" ? <Words /> : <Sound />}
      <Emotion />
      <FilmFold>{portrait.value && isVideo(portrait.value) ? <Bank /> : <MorePhotos />}</FilmFold>
      <MakeButton id="speak" label="Speak" make={() => void begin()} problem={problem} />
    </form>
  );
}

const wordless = (): string | null => {
  const { how, text } = choices.value;
  if (how === "text") return text.trim() ? null : "Write what is to be said.";
  return sound.value ? null : "Choose a sound, or record your voice.";
};

function Words() {
  const { text, language, voice } = choices.value;
  return (
    <>
      <label class="field">
        <span>Text</span>
        <textarea id="text" rows={4} maxLength={TEXT_CHARACTERS} value={text} onInput={(event) => set({ text: event.currentTarget.value })} />
      </label>
      <Select label="Language" value={language} options={LANGUAGES} choose={(word) => set({ language: word })} />
      <fieldset class="choice voices">
        <legend>Voice</legend>
        {VOICES.map(([word, label]) => (
          <div key={word} class="voice">
            <label>
              <input type="radio" name="voice" checked={word === voice} onChange={() => set({ voice: word })} />
              <span>{label}</span>
            </label>
            <Listen voice={word} label={label} />
          </div>
        ))}
      </fieldset>
    </>
  );
}

function Listen({ voice, label }: { voice: string; label: string }) {
  const player = useRef<HTMLAudioElement | null>(null);
  useEffect(() => () => player.current?.pause(), []);
  const play = () => {
    player.current ??= new Audio(`v1/voices/${voice || "usual"}/sample?language=${choices.value.language}`);
    player.current.currentTime = 0;
    void player.current.play().catch(() => undefined);
  };
  return (
    <button type="button" class="plain" aria-label={`Listen to ${label}`} onClick={play}>
      <Icon name="sound" />
    </button>
  );
}

function Sound() {
  const [recording, setRecording] = useState(false);
  const file = sound.value;
  if (recording) return <Microphone done={(found) => (setRecording(false), found && (sound.value = found))} />;
  if (file) {
    return (
      <div class="driver">
        <Playback file={file} label="The voice" />
        <Chosen file={file} remove={() => (sound.value = null)} />
      </div>
    );
  }
  return (
    <div class="driver">
      <Drop id="sound" label="A sound, or a video with sound" accept="audio/*,video/*" take={([first]) => (sound.value = first ?? null)} />
      <button type="button" class="link" onClick={() => setRecording(true)}>
        Record your voice
      </button>
    </div>
  );
}

function Microphone({ done }: { done: (file: File | null) => void }) {
  const recorder = useRef<MediaRecorder | null>(null);
  const [seconds, setSeconds] = useState<number | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (seconds === null) return;
    const timer = setTimeout(() => setSeconds(seconds + 1), 1000);
    return () => clearTimeout(timer);
  }, [seconds]);
  const begin = async () => {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const pieces: Blob[] = [];
    const begun = (recorder.current = new MediaRecorder(stream));
    begun.ondataavailable = (event) => pieces.push(event.data);
    begun.onstop = () => {
      for (const track of stream.getTracks()) track.stop();
      done(new File(pieces, "voice.webm", { type: "audio/webm" }));
    };
    begun.start();
    setSeconds(0);
  };
  const toggle = () => {
    if (recorder.current) recorder.current.stop();
    else begin().catch(() => setProblem("No microphone can be used, or it was not allowed."));
  };
  return (
    <div class="driver">
      <p class="actions">
        <button type="button" class="primary" onClick={toggle}>
          <Icon name={seconds === null ? "mic" : "stop"} />
          {seconds === null ? "Record" : `Stop after ${seconds} s`}
        </button>
        <button type="button" onClick={() => done(null)}>
          Back
        </button>
      </p>
      <p role="status" class="problem">{problem}</p>
    </div>
  );
}

function Bank() {
  return bank.value ? (
    <Chosen file={bank.value} remove={() => (bank.value = null)} />
  ) : (
    <Drop label="Mouths of this person, collected under Person (may be left out)" accept=".safetensors" take={([first]) => (bank.value = first ?? null)} />
  );
}

async function speak(): Promise<void> {
  const { how, text, language, voice } = choices.value;
  const { background: _, ...fields } = filmFields();
  const request = {
    kind: "speak" as const,
    ...fields,
    ...(how === "text" ? { text: text.trim(), language, voice } : {}),
  };
  const video = isVideo(portrait.value!);
  const files = {
    ...(how === "sound" ? { audio: [sound.value!] } : {}),
    // A video keeps its own frames, and its mouths come from a bank.
    ...(!video ? photoFiles() : bank.value ? { bank: [bank.value] } : {}),
  };
  await make(request, files, how === "text" ? "speaks" : "speaks with a voice");
}
