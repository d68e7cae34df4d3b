// Search a picture for faces: upright ones in the whole picture first, then small and rotated ones.

import { detect, FULL, SHORT, type Detection } from "./blazeface";
import type { Run } from "./networks";
import { areaAveraged, part, type Picture } from "./pictures";
import { scaled } from "./regions";

/** The short-range detector responds to animals: a dog scores 0.72, paintings score 0.78 and more. */
const SHORT_RANGE_SCORE = 0.8;
/** Share of the picture's longer side. If the largest face is smaller, the first search may have missed others. */
const SMALL = 0.12;
/** Share of the picture's longer side. The search of the whole picture would have found a larger face. */
const LARGEST_IN_TILE = 0.3;
/** Pixels; the detectors resolve no more of a picture anyway. */
const SMALLEST_TILE = 128;
/** Pixels of the longer side to which a picture is shrunk first; the detectors see 192 and fewer. */
const NETWORK_SIDE = 640;
/** Common area, as a share of the smaller box, from which two boxes show the same face. */
const ONE_FACE = 0.4;
/** Angles of the search in degrees. The detectors find faces that lean by up to about 50 degrees. */
const ANGLES = [180, 90, 270, 135, 225, 45, 315];
/** Faces of a picture; the largest ones count. */
const MOST_FACES = 16;

/** Find faces in the whole picture, largest first; cheap. */
export async function findUpright(run: Run, picture: Picture): Promise<Detection[]> {
  return distinct(await detections(run, picture));
}

/** Find leaning, lying and upside-down faces in a picture; a face may come several times. */
export async function findRotated(run: Run, picture: Picture): Promise<Detection[]> {
  const found: Detection[] = [];
  for (const degrees of ANGLES) found.push(...(await detections(run, picture, degrees)));
  return found;
}

/**
 * Find faces in a picture, also small and rotated ones, largest first. The search goes on only while it has found no
 * large face, so that difficult pictures take longer.
 */
export async function findEverywhere(run: Run, picture: Picture): Promise<Detection[]> {
  const { width, height } = picture;
  const longest = Math.max(width, height);
  const upright = await findUpright(run, picture);
  if (upright.length && upright[0]!.box.width >= SMALL * longest) return upright;
  const side = Math.min(width, height, Math.ceil(longest / 2));
  for (const search of [
    async () => [...upright, ...(await detectionsInTiles(run, picture, side))],
    () => findRotated(run, picture),
    () => detectionsInTiles(run, picture, Math.ceil(side / 2)),
  ]) {
    const found = distinct(await search());
    if (found.length) return found;
  }
  return [];
}

/** Detections of both detectors in a picture rotated by some degrees. */
async function detections(run: Run, picture: Picture, degrees = 0): Promise<Detection[]> {
  const scale = Math.min(1, NETWORK_SIDE / Math.max(picture.width, picture.height));
  const small = scale < 1 ? shrunk(picture, scale) : picture;
  const { width, height } = small;
  // A picture at an oblique angle needs a square as large as its diagonal.
  const side = degrees % 90 ? Math.hypot(width, height) : Math.max(width, height);
  const region = { x: width / 2, y: height / 2, width: side, height: side, angle: (degrees * Math.PI) / 180 };
  const found: Detection[] = [];
  for (const [model, leastScore] of [[FULL, FULL.score], [SHORT, SHORT_RANGE_SCORE]] as const)
    for (const detection of await detect(run, model, small, region))
      if (detection.score >= leastScore) found.push(enlarged(detection, 1 / scale));
  return found;
}

/** The picture in `scale` times its size, at least one pixel. */
function shrunk(picture: Picture, scale: number): Picture {
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
  return areaAveraged(picture, width!, height!);
}

/** Detections of small faces in overlapping squares of the picture, `side` pixels each. */
async function detectionsInTiles(run: Run, picture: Picture, side: number): Promise<Detection[]> {
  const tile = Math.max(side, SMALLEST_TILE);
  const largest = LARGEST_IN_TILE * Math.max(picture.width, picture.height);
  const found: Detection[] = [];
  for (const top of starts(picture.height, tile)) {
    for (const left of starts(picture.width, tile)) {
      const [width, height] = [Math.min(tile, picture.width - left), Math.min(tile, picture.height - top)];
      for (const detection of await detections(run, part(picture, left, top, width, height)))
        if (detection.box.width < largest) found.push(moved(detection, left, top));
    }
  }
  return found;
}

/** First pixels of tiles along a length; neighbours overlap by half a side or more. */
function starts(length: number, side: number): number[] {
  if (length <= side) return [0];
  const steps = Math.ceil((2 * (length - side)) / side);
  return Array.from({ length: steps + 1 }, (_, k) => Math.round((k * (length - side)) / steps));
}

/** The detection in pixels of a picture that is `scale` times as large. */
function enlarged({ box, keyPoints, score }: Detection, scale: number): Detection {
  const large = scaled({ ...box, x: box.x * scale, y: box.y * scale }, scale);
  return { box: large, keyPoints: keyPoints.map((value) => value * scale), score };
}

/** The detection in pixels of the picture of which a tile has its corner at (x, y). */
function moved({ box, keyPoints, score }: Detection, x: number, y: number): Detection {
  const placed = keyPoints.map((value, k) => value + (k % 2 ? y : x));
  return { box: { ...box, x: box.x + x, y: box.y + y }, keyPoints: placed, score };
}

/** Each face once, by its best detection, largest first. */
function distinct(found: Detection[]): Detection[] {
  const kept: Detection[] = [];
  for (const detection of found.toSorted((a, b) => b.score - a.score))
    if (!kept.some((other) => sameFace(detection, other))) kept.push(detection);
  return kept.sort((a, b) => b.box.width - a.box.width).slice(0, MOST_FACES);
}

/** Whether the boxes of two detections overlap so far that they show the same face; angles are ignored. */
export function sameFace({ box: a }: Detection, { box: b }: Detection): boolean {
  const width = Math.min(a.x + a.width / 2, b.x + b.width / 2) - Math.max(a.x - a.width / 2, b.x - b.width / 2);
  const height = Math.min(a.y + a.height / 2, b.y + b.height / 2) - Math.max(a.y - a.height / 2, b.y - b.height / 2);
  if (width <= 0 || height <= 0) return false;
  return width * height >= ONE_FACE * Math.min(a.width * a.height, b.width * b.height);
}
