/** Motions and emotions as small pictures of the user's own portrait. */

import { useEffect, useRef, useState } from "preact/hooks";
import { TEMPLATE_SECONDS } from "../api/options";
import { pictured, session } from "../live/session";

const SIDE = 128;
const FRAMES = 6;
const FRAME_MILLISECONDS = 260;

// One picture is asked for at a time, so that sliders and jobs stay quick.
let queue: Promise<unknown> = Promise.resolve();
const cache = new Map<string, string[]>();

function after<T>(work: () => Promise<T>): Promise<T> {
  const result = queue.then(work);
  queue = result.catch(() => undefined);
  return result;
}

/** The frames of a look, from the session or as they were before; none while the portrait is being prepared. */
function useFrames(name: string, looks: readonly unknown[]): string[] {
  const id = session.value?.id ?? "";
  const key = `${id} ${name}`;
  const [frames, setFrames] = useState<string[]>(cache.get(key) ?? []);
  useEffect(() => {
    setFrames(cache.get(key) ?? []);
    if (!id || cache.has(key)) return;
    let over = false;
    void after(async () => {
      const found: string[] = [];
      for (const look of looks) {
        if (over || session.value?.id !== id) return;
        const blob = await pictured("look", look).catch(() => null);
        if (!blob) return;
        found.push(URL.createObjectURL(blob));
      }
      cache.set(key, found);
      if (!over) setFrames(found);
    });
    return () => void (over = true);
  }, [key]);
  return frames;
}

export function TemplateThumbnail({ template }: { template: keyof typeof TEMPLATE_SECONDS }) {
  const seconds = TEMPLATE_SECONDS[template];
  const looks = Array.from({ length: FRAMES }, (_, index) => ({
    template,
    at: (seconds * (index + 0.5)) / FRAMES,
    side: SIDE,
  }));
  return <Flipbook frames={useFrames(template, looks)} />;
}

export function EmotionThumbnail({ emotion }: { emotion: string }) {
  return <Flipbook frames={useFrames(`emotion ${emotion}`, [emotion ? { emotion, strength: 1, side: SIDE } : { side: SIDE }])} />;
}

export function KeyThumbnail({ look, name }: { look: object; name: string }) {
  return <Flipbook frames={useFrames(name, [{ ...look, side: SIDE }])} />;
}

/** Shows frames one after the other; the middle one where motion is not wanted. */
function Flipbook({ frames }: { frames: string[] }) {
  const image = useRef<HTMLImageElement>(null);
  useEffect(() => {
    if (frames.length < 2 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    let index = 0;
    const timer = setInterval(() => {
      index = (index + 1) % frames.length;
      if (image.current) image.current.src = frames[index]!;
    }, FRAME_MILLISECONDS);
    return () => clearInterval(timer);
  }, [frames]);
  if (!frames.length) return <span class="blank" />;
  return <img ref={image} src={frames[frames.length >> 1]} alt="" />;
}
