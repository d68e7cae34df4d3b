/** The ready pairs of the first screen: packaged pictures whose right is known, each with a motion. */

import type { JobRequest } from "../api/types";

export interface Pair {
  picture: string;
  name: string;
  title: string;
  rights: string;
  request: JobRequest;
}

const PAINTING = "The painting is in the public domain, and nobody living is shown";

export const PAIRS: readonly Pair[] = [
  {
    picture: "examples/mona-lisa.webp",
    name: "Mona Lisa",
    title: "Mona Lisa smiles",
    rights: PAINTING,
    request: { kind: "animate", template: "smile" },
  },
  {
    picture: "examples/pearl.webp",
    name: "Girl with a Pearl Earring",
    title: "The girl with the pearl nods",
    rights: PAINTING,
    request: { kind: "animate", template: "nod" },
  },
  {
    picture: "examples/astronaut.webp",
    name: "Astronaut",
    title: "An astronaut says a sentence",
    rights: "A NASA photograph in the public domain, packaged with Gioconda as an example",
    request: { kind: "speak", text: "Good evening. The view from up here is beautiful.", voice: "f2", crop: true },
  },
  {
    picture: "examples/drawing.webp",
    name: "Drawing",
    title: "A drawing laughs",
    rights: "A drawing after a painting in the public domain; nobody living is shown",
    request: { kind: "animate", template: "laugh" },
  },
];

/** Fetches a packaged picture as a file. */
export async function pictureOf(pair: Pair): Promise<File> {
  const blob = await (await fetch(pair.picture)).blob();
  return new File([blob], pair.picture.split("/").pop()!, { type: "image/webp" });
}
