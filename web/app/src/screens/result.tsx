/** A finished job on the stage: the film plays, is compared, downloaded, shared, exported and used again. */

import { useEffect, useRef, useState } from "preact/hooks";
import { call, sentence } from "../api/http";
import type { Files, Output, Word } from "../api/types";
import { remove, shown, submit, type Entry } from "../jobs/entries";
import { addressOf, fileName, keepThumbnail, resultFile, resultOf } from "../jobs/result";
import { marksOf, named, size } from "../jobs/words";
import { photoIn } from "../media/person";
import { choose } from "../media/portrait";
import { open } from "../tools";
import { Icon } from "../ui/icon";
import { useAddress } from "../ui/playback";
import { Compare } from "./compare";
import { driver } from "./move";
import { Verdict } from "./verify";

export function Result({ entry }: { entry: Entry }) {
  const [address, setAddress] = useState("");
  const [problem, setProblem] = useState("");
  const [comparing, setComparing] = useState(false);
  useEffect(() => {
    addressOf(entry).then(setAddress, (error: unknown) => setProblem(sentence(error)));
  }, [entry.key]);
  const output = entry.state!.result!;
  if (problem) return <Gone entry={entry} problem={problem} />;
  if (!address) return <p role="status" class="phase">Fetching the result</p>;
  if (entry.request.kind === "verify") return <Verdict address={address} entry={entry} />;
  return (
    <>
      <div class="picture">
        {comparing ? <Compare entry={entry} address={address} output={output} /> : <Picture entry={entry} address={address} output={output} />}
      </div>
      <Actions entry={entry} address={address} output={output} comparing={comparing} compare={() => setComparing(!comparing)} />
      <About entry={entry} output={output} />
    </>
  );
}

function Gone({ entry, problem }: { entry: Entry; problem: string }) {
  return (
    <>
      <p role="status" class="problem">{problem}</p>
      <p class="actions">
        <button type="button" onClick={() => void remove(entry.key)}>Remove it from the list</button>
      </p>
    </>
  );
}

interface Shown {
  entry: Entry;
  address: string;
  output: Output;
}

export function Picture({ entry, address, output }: Shown) {
  if (output.media_type.startsWith("video/")) return <Film entry={entry} address={address} output={output} />;
  if (output.media_type.startsWith("image/")) {
    return <img class="seen" src={address} alt={entry.title} onLoad={(event) => keepThumbnail(entry.key, event.currentTarget)} />;
  }
  return <Prepared entry={entry} />;
}

/** A file of a person for later jobs: of a person file, the first photo. */
function Prepared({ entry }: { entry: Entry }) {
  const [photo, setPhoto] = useState<File>();
  const address = useAddress(photo);
  useEffect(() => {
    void resultOf(entry).then(photoIn).then((found) => found && setPhoto(new File([found], "photo.jpg", { type: found.type })));
  }, [entry.key]);
  if (!address) return <p class="phase">A file for later films.</p>;
  return <img class="seen" src={address} alt="The first photo" onLoad={(event) => keepThumbnail(entry.key, event.currentTarget)} />;
}

// What each purpose of Person makes, and what it is for.
const USES: Record<string, string> = {
  photos: "This person file goes in as a portrait: each frame of a film is drawn from the nearest of its photos.",
  speech: "These mouths go into Speak, beside a video of the same person.",
};
const purposeOf = (entry: Entry): string => String(entry.request["purpose"]);

function Film({ entry, address, output }: Shown) {
  const video = useRef<HTMLVideoElement>(null);
  const [at, setAt] = useState(0);
  useEffect(() => void playByItself(video.current!), [address]);
  return (
    <figure class="film">
      <video
        ref={video}
        class="seen"
        src={address}
        controls
        loop
        playsInline
        width={output.width}
        height={output.height}
        aria-label={entry.title}
        onLoadedData={(event) => keepThumbnail(entry.key, event.currentTarget)}
        onTimeUpdate={(event) => setAt(event.currentTarget.currentTime)}
      />
      {!!output.words?.length && <Said words={output.words} at={at} />}
    </figure>
  );
}

/** Plays with sound where the browser lets it, else muted. */
async function playByItself(video: HTMLVideoElement): Promise<void> {
  try {
    await video.play();
  } catch (problem) {
    if (!(problem instanceof DOMException) || problem.name !== "NotAllowedError") return;
    video.muted = true;
    await video.play().catch(() => undefined);
  }
}

/** The words of a speech; the one that is being said stands out. */
function Said({ words, at }: { words: Word[]; at: number }) {
  return (
    <figcaption class="said">
      {words.map((word, index) => (
        <span key={index} class={at >= word.start && at < word.end ? "now" : at >= word.end ? "past" : ""}>
          {word.text}{" "}
        </span>
      ))}
    </figcaption>
  );
}

interface ActionsProps extends Shown {
  comparing: boolean;
  compare: () => void;
}

function Actions({ entry, address, output, comparing, compare }: ActionsProps) {
  const film = output.media_type.startsWith("video/");
  const picture = output.media_type.startsWith("image/");
  return (
    <p class="actions">
      <a class="button primary" id="download" href={address} download={fileName(entry)}>
        <Icon name="download" />
        Download <span class="detail">{size(output.bytes)}</span>
      </a>
      {output.sidecar && (
        <a class="button" href={`v1/jobs/${entry.job}/sidecar`} download={`${fileName(entry).replace(/\.[^.]+$/, "")}.c2pa`}>
          Its manifest
        </a>
      )}
      {(film || picture) && entry.request.kind !== "export" && (
        <button type="button" aria-pressed={comparing} onClick={compare}>
          <Icon name="compare" />
          Compare
        </button>
      )}
      <Share entry={entry} />
      {film && <Exports entry={entry} />}
      {!film && !picture && purposeOf(entry) !== "speech" && (
        <button type="button" onClick={() => void usePortrait(entry)}>
          Use as portrait
        </button>
      )}
      {(film || picture) && <Reuse entry={entry} film={film} />}
      <button type="button" class="plain" aria-label={`Delete ${entry.title}`} title="Delete" onClick={() => void remove(entry.key)}>
        <Icon name="trash" />
      </button>
      <button type="button" class="plain" aria-label="Close" title="Close" onClick={() => (shown.value = null)}>
        <Icon name="close" />
      </button>
    </p>
  );
}

function Share({ entry }: { entry: Entry }) {
  const share = async () => {
    const file = await resultFile(entry);
    await navigator.share({ files: [file], title: entry.title }).catch(() => undefined);
  };
  const probe = new File([""], fileName(entry), { type: entry.state!.result!.media_type });
  if (!navigator.canShare?.({ files: [probe] })) return null;
  return (
    <button type="button" onClick={() => void share()}>
      <Icon name="share" />
      Share
    </button>
  );
}

const EXPORTS = [
  ["gif", "", "GIF"],
  ["webm", "", "WebM"],
  ["mp4", "vertical", "Vertical, 9:16"],
  ["mp4", "square", "Square"],
] as const;

function Exports({ entry }: { entry: Entry }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const convert = async (format: string, shape: string, label: string) => {
    menu.current!.open = false;
    const request = { kind: "export" as const, format, ...(shape ? { shape } : {}) };
    const files = { film: [await resultFile(entry)], ...(await sidecarOf(entry)) };
    await submit(request, files, `${entry.title} (${label})`, shape ? `${entry.name}-${shape}` : entry.name);
  };
  return (
    <details class="menu" ref={menu}>
      <summary class="button">Export</summary>
      <div class="menu-list">
        {EXPORTS.map(([format, shape, label]) => (
          <button type="button" key={label} onClick={() => void convert(format, shape, label)}>
            {label}
          </button>
        ))}
      </div>
    </details>
  );
}

/** The manifest of a result whose format cannot hold it, as a job's files. */
async function sidecarOf(entry: Entry): Promise<Files> {
  if (!entry.state!.result!.sidecar) return {};
  const blob = await (await call(`v1/jobs/${entry.job}/sidecar`)).blob();
  return { sidecar: [new File([blob], "film.c2pa")] };
}

function Reuse({ entry, film }: { entry: Entry; film: boolean }) {
  return (
    <details class="menu">
      <summary class="button">Use again</summary>
      <div class="menu-list">
        <button type="button" onClick={() => void usePortrait(entry)}>
          As portrait
        </button>
        {film && (
          <button type="button" onClick={() => void useMotion(entry)}>
            As motion
          </button>
        )}
      </div>
    </details>
  );
}

async function usePortrait(entry: Entry): Promise<void> {
  const rights = entry.request["rights"];
  const name = entry.request.kind === "adapt" ? entry.title.replace(/: [^:]*$/, "") : entry.name.replace(/-/g, " ");
  await choose(await resultFile(entry), name, typeof rights === "string" ? rights : null);
  shown.value = null;
  open("move");
}

async function useMotion(entry: Entry): Promise<void> {
  driver.value = await resultFile(entry);
  shown.value = null;
  open("move");
}

function About({ entry, output }: { entry: Entry; output: Output }) {
  const marked = /^(video|image)\//.test(output.media_type);
  return (
    <div class="about">
      <p role="status" class="phase">
        <strong>{entry.title}.</strong> Done. {marked ? marksOf(output) : (USES[purposeOf(entry)] ?? "A file for later films.")}
      </p>
      {output.warnings.map((warning) => (
        <p key={warning} class="warning">{named(warning, entry)}</p>
      ))}
    </div>
  );
}

