/** A result beside what it was made of: the original picture under a slider, or the driving video. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Files, Output } from "../api/types";
import { filesOf, type Entry } from "../jobs/entries";
import { photoIn } from "../media/person";
import { Choice } from "../ui/controls";
import { useAddress } from "../ui/playback";

interface CompareProps {
  entry: Entry;
  address: string;
  output: Output;
}

type Other = "portrait" | "motion";

export function Compare({ entry, address, output }: CompareProps) {
  const [files, setFiles] = useState<Files>({});
  const [other, setOther] = useState<Other>("portrait");
  useEffect(() => {
    void originals(entry).then(setFiles);
  }, [entry.key]);
  const driver = files["motion"]?.[0];
  const seen = driver && /^(video|image)\//.test(driver.type);
  return (
    <div class="comparing">
      {seen && (
        <Choice
          segmented
          hidden
          label="Compare with"
          value={other}
          options={[["portrait", "The original"], ["motion", "The driver"]]}
          choose={setOther}
        />
      )}
      <Pair key={other} file={files[other]?.[0]} label={other === "motion" ? "The driver" : "The original"} address={address} output={output} over={other === "portrait" && entry.request["crop"] !== true} />
    </div>
  );
}

/** The files of an entry, with the first photo of a person file in its place. */
async function originals(entry: Entry): Promise<Files> {
  const files = (await filesOf(entry.key)) ?? {};
  const portrait = files["portrait"]?.[0];
  const photo = portrait && (await photoIn(portrait));
  return photo ? { ...files, portrait: [new File([photo], "portrait.jpg", { type: photo.type })] } : files;
}

interface PairProps {
  file: File | undefined;
  address: string;
  output: Output;
  label: string;
  /** Whether the original lies over the result, where the two have the same shape. */
  over: boolean;
}

// Sides whose ratios differ by less belong to the same picture.
const SAME_SHAPE = 0.02;

function Pair({ file, address, output, label, over }: PairProps) {
  const [share, setShare] = useState(50);
  const [same, setSame] = useState(false);
  const own = useAddress(file);
  const measure = (width: number, height: number) =>
    setSame(over && Math.abs((width / height) * (output.height / output.width) - 1) < SAME_SHAPE);
  const original = own && (
    <Media
      address={own}
      film={file!.type.startsWith("video/")}
      label={label}
      measure={measure}
    />
  );
  const result = <Media address={address} film={output.media_type.startsWith("video/")} label="The result" />;
  if (!same) return <div class="side-by-side">{original}{result}</div>;
  return (
    <div class="curtain" style={{ "--share": `${share}%` }}>
      {result}
      <div class="over">{original}</div>
      <input
        type="range"
        min={0}
        max={100}
        value={share}
        aria-label="How much of the original covers the result"
        onInput={(event) => setShare(Number(event.currentTarget.value))}
      />
    </div>
  );
}

interface MediaProps {
  address: string;
  film: boolean;
  label: string;
  measure?: (width: number, height: number) => void;
}

function Media({ address, film, label, measure }: MediaProps) {
  const video = useRef<HTMLVideoElement>(null);
  if (!film) {
    return (
      <img
        class="seen"
        src={address}
        alt={label}
        onLoad={(event) => measure?.(event.currentTarget.naturalWidth, event.currentTarget.naturalHeight)}
      />
    );
  }
  return (
    <video
      ref={video}
      class="seen"
      src={address}
      aria-label={label}
      muted
      loop
      autoplay
      playsInline
      onLoadedMetadata={(event) => measure?.(event.currentTarget.videoWidth, event.currentTarget.videoHeight)}
    />
  );
}
