/** Plays a file that the user chose or recorded. */

import { useEffect, useRef, useState } from "preact/hooks";

/** The address of a file while a component shows it; "" at first. */
export function useAddress(file: File | undefined): string {
  const [address, setAddress] = useState("");
  useEffect(() => {
    if (!file) return;
    const made = URL.createObjectURL(file);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return address;
}

/** A video, a picture or a sound; nothing for other files. */
interface PlaybackProps {
  file: File;
  label: string;
  /** The moment that a video shows, in seconds. */
  at?: number;
  /** Called with the seconds that a video lasts. */
  known?: (seconds: number) => void;
}

export function Playback({ file, label, at, known }: PlaybackProps) {
  const address = useAddress(file);
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current && at !== undefined) video.current.currentTime = at;
  }, [at]);
  if (!address) return null;
  if (file.type.startsWith("video/")) {
    const tell = () => Number.isFinite(video.current?.duration) && known?.(video.current!.duration);
    return (
      <video ref={video} class="preview" src={address} controls muted playsInline aria-label={label} onLoadedMetadata={findEnd} onDurationChange={tell} />
    );
  }
  if (file.type.startsWith("image/")) return <img class="preview" src={address} alt={label} />;
  if (file.type.startsWith("audio/")) return <audio src={address} controls aria-label={label} onLoadedMetadata={findEnd} />;
  return null;
}

/** Browsers record without a duration; a jump to the end finds it. */
function findEnd(event: Event): void {
  const media = event.currentTarget as HTMLMediaElement;
  if (Number.isFinite(media.duration)) return;
  media.addEventListener("durationchange", () => (media.currentTime = 0), { once: true });
  media.currentTime = Number.MAX_SAFE_INTEGER;
}
