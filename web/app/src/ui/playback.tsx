/** Plays a file that the user chose or recorded. */

import { useEffect, useState } from "preact/hooks";

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
export function Playback({ file, label }: { file: File; label: string }) {
  const address = useAddress(file);
  if (!address) return null;
  if (file.type.startsWith("video/")) {
    return <video class="preview" src={address} controls muted playsInline aria-label={label} onLoadedMetadata={findEnd} />;
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
