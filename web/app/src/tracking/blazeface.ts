// BlazeFace (Bazarevsky et al. 2019): a picture -> boxes and key points of faces.

import { FULL_RANGE, SHORT_RANGE, type Run } from "./networks";
import type { Picture } from "./pictures";
import { crop, FACE_MARGIN, toPixels, type Points, type Region } from "./regions";

/** Intersection over union above which candidates are averaged; that of MediaPipe's graphs. */
const SAME_FACE = 0.3;
/** Indices of key points; left and right are the subject's own. */
const [RIGHT_EYE, LEFT_EYE] = [0, 1];
/** Numbers that describe a candidate: x and y of its centre, its size and six key points. */
const VALUES = 16;
/** Of these, width and height. */
const [WIDTH, HEIGHT] = [2, 3];

/** A detector network. */
export interface Model {
  name: string;
  /** Side of the network's input in pixels. */
  side: number;
  /** (cells in a row, anchors in a cell) of each grid of anchors. */
  grids: readonly (readonly [number, number])[];
  /** Least score of a candidate, 0 to 1. */
  score: number;
}

// The scores are those of MediaPipe's graphs. They also decide which candidates a box is the mean of.
export const FULL: Model = { name: FULL_RANGE, side: 192, grids: [[48, 1]], score: 0.6 };
export const SHORT: Model = { name: SHORT_RANGE, side: 128, grids: [[16, 2], [8, 6]], score: 0.5 };

/** A face that a detector found. */
export interface Detection {
  /** The face without the top of the forehead, at the angle of the region that was searched. */
  box: Region;
  /** x and y in pixels of right eye, left eye, nose, mouth, right ear, left ear. */
  keyPoints: Points;
  /** 0 to 1. */
  score: number;
}

/** Values of a candidate in the unit square, and its score. */
interface Candidate {
  values: Points;
  score: number;
}

/** The region of a detection that the mesh network takes as input. */
export function cropOf({ box, keyPoints }: Detection): Region {
  const side = FACE_MARGIN * Math.max(box.width, box.height);
  const across = [0, 1].map((axis) => keyPoints[2 * LEFT_EYE + axis]! - keyPoints[2 * RIGHT_EYE + axis]!);
  return { ...box, width: side, height: side, angle: Math.atan2(across[1]!, across[0]!) };
}

/** Detect faces in a square region of a picture, best score first; outside the picture, it is black. */
export async function detect(run: Run, model: Model, picture: Picture, region: Region): Promise<Detection[]> {
  const { boxes, logits } = await run(model.name, crop(picture, region, model.side, "black"), model.side);
  const least = Math.log(model.score / (1 - model.score));
  const candidates: Candidate[] = [];
  logits!.forEach((logit, index) => {
    if (logit < least) return;
    const values = boxes!.slice(index * VALUES, (index + 1) * VALUES).map((value) => value / model.side);
    const [x, y] = anchors(model)[index]!;
    // All but the size are relative to the anchor.
    const placed = values.map((value, k) => (k === WIDTH || k === HEIGHT ? value : value + (k % 2 ? y : x)));
    if (placed[WIDTH]! >= 0 && placed[HEIGHT]! >= 0) candidates.push({ values: placed, score: sigmoid(logit) });
  });
  return merged(candidates).map((candidate) => detection(region, candidate));
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

const anchorsOf = new Map<string, [number, number][]>();

/** Centres of the anchors, 0 to 1. */
function anchors(model: Model): [number, number][] {
  const known = anchorsOf.get(model.name);
  if (known) return known;
  const centres: [number, number][] = [];
  for (const [cells, each] of model.grids)
    for (let y = 0; y < cells; y++)
      for (let x = 0; x < cells; x++)
        for (let k = 0; k < each; k++) centres.push([(x + 0.5) / cells, (y + 0.5) / cells]);
  anchorsOf.set(model.name, centres);
  return centres;
}

/** Weighted non-maximum suppression: candidates that overlap the best one are averaged by their scores. */
function merged(candidates: Candidate[]): Candidate[] {
  let remaining = candidates.toSorted((a, b) => b.score - a.score);
  const faces: Candidate[] = [];
  while (remaining.length) {
    const best = remaining[0]!;
    const same = new Set(remaining.filter((other) => other === best || overlaps(other, best)));
    faces.push({ values: mean([...same]), score: best.score });
    remaining = remaining.filter((other) => !same.has(other));
  }
  return faces;
}

/** Mean of the candidates' values, weighted by their scores. */
function mean(candidates: Candidate[]): Points {
  const total = candidates.reduce((sum, { score }) => sum + score, 0);
  const values = new Float32Array(VALUES);
  for (const candidate of candidates)
    candidate.values.forEach((value, k) => (values[k]! += (candidate.score / total) * value));
  return values;
}

/** Whether the boxes of two candidates have much of their area in common. */
function overlaps({ values: a }: Candidate, { values: b }: Candidate): boolean {
  const common = [0, 1].map((axis) => {
    const low = Math.max(a[axis]! - a[axis + 2]! / 2, b[axis]! - b[axis + 2]! / 2);
    return Math.max(0, Math.min(a[axis]! + a[axis + 2]! / 2, b[axis]! + b[axis + 2]! / 2) - low);
  });
  const both = common[0]! * common[1]!;
  return both > SAME_FACE * (a[WIDTH]! * a[HEIGHT]! + b[WIDTH]! * b[HEIGHT]! - both);
}

/** The detection of a candidate in the unit square of a region. */
function detection(region: Region, { values, score }: Candidate): Detection {
  const points = toPixels(region, values, 2);
  const [x, y] = [points[0]!, points[1]!];
  const [width, height] = [values[WIDTH]! * region.width, values[HEIGHT]! * region.height];
  return { box: { x, y, width, height, angle: region.angle }, keyPoints: points.slice(HEIGHT + 1), score };
}
