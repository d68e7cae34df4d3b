// Faces of a still picture, whose landmarks are averaged over several runs of the network.

import { cropOf, type Detection } from "./blazeface";
import { findEverywhere, findRotated, findUpright, sameFace } from "./detector";
import { findLandmarksIn, PRESENT } from "./landmarks";
import type { Run } from "./networks";
import type { Picture } from "./pictures";
import { aroundLandmarks, scaled, type Points, type Region } from "./regions";

/** Crops of the second pass, (scale, degrees), relative to the usual one; each is used straight and mirrored. */
const SECOND_PASS = [[0.93, 4], [1, -4]] as const;
/** Mean disagreement of the passes, in distances between the eyes, from which a face may be the other way up. */
const DOUBT = 0.03;
/** Least and largest width of the landmarks relative to the detector's box. On a dog's muzzle, they disagree more. */
const [LEAST_AGREEMENT, LARGEST_AGREEMENT] = [0.5, 1.6];
/** Pixels; keeps the division by the distance of irises that coincide finite. */
const TINY = 1e-6;
/** Landmarks at the centres of the irises. */
const [RIGHT_IRIS, LEFT_IRIS] = [468, 473];

/** The mesh network's result for a detection. */
interface MeshFit {
  detection: Detection;
  landmarks: Points;
  /** Mean distance between the landmarks of both passes, in distances between the eyes; infinite if it is no face. */
  disagreement: number;
}

/**
 * Find all faces of a still picture, at any angle: their landmarks, the widest face first.
 *
 * A first pass decides how to crop each face; a second pass averages the landmarks of several crops, since those of
 * single crops differ by more than a hundredth of the distance between the eyes.
 *
 * @param thorough Whether to search for small, rotated and upside-down faces, which takes longer.
 */
export async function detectFaces(run: Run, picture: Picture, thorough: boolean): Promise<Points[]> {
  let found = await fits(run, picture, await (thorough ? findEverywhere : findUpright)(run, picture));
  if (thorough && found.some((fit) => fit.disagreement > DOUBT)) {
    const rotated = await fits(run, picture, await findRotated(run, picture));
    found = found.map((fit) => (fit.disagreement > DOUBT ? bestFit(fit, rotated) : fit));
  }
  const present = found.filter((fit) => Number.isFinite(fit.disagreement)).map((fit) => fit.landmarks);
  return present.sort((a, b) => extent(b, 1, 0) - extent(a, 1, 0));
}

/** Run both passes on each detection, also on those that turn out not to be faces. */
async function fits(run: Run, picture: Picture, detections: Detection[]): Promise<MeshFit[]> {
  const crops = detections.map(cropOf);
  const first = await findLandmarksIn(run, picture, crops, crops.map(() => false));
  const second = await secondPass(run, picture, first.map(({ landmarks }) => aroundLandmarks(landmarks)));
  return detections.map((detection, k) => {
    const [{ landmarks: before, presence }, after] = [first[k]!, second[k]!];
    const isFace = presence > PRESENT && agree(detection, after);
    return { detection, landmarks: after, disagreement: isFace ? disagreement(before, after) : Infinity };
  });
}

/** Landmarks of faces, each averaged over the crops of SECOND_PASS. */
async function secondPass(run: Run, picture: Picture, crops: Region[]): Promise<Points[]> {
  const regions = crops.flatMap((region) =>
    SECOND_PASS.flatMap(([scale, degrees]) => {
      const turned = { ...scaled(region, scale), angle: region.angle + (degrees * Math.PI) / 180 };
      return [turned, turned];
    }),
  );
  const passes = await findLandmarksIn(run, picture, regions, regions.map((_, k) => k % 2 === 1));
  const each = 2 * SECOND_PASS.length;
  return crops.map((_, face) => {
    const own = passes.slice(face * each, (face + 1) * each);
    return own[0]!.landmarks.map((_, k) => own.reduce((sum, pass) => sum + pass.landmarks[k]!, 0) / each);
  });
}

/** Mean distance between the landmarks of two passes, in distances between the eyes. */
function disagreement(first: Points, second: Points): number {
  let sum = 0;
  for (let k = 0; k < first.length; k += 3) sum += Math.hypot(first[k]! - second[k]!, first[k + 1]! - second[k + 1]!);
  const [right, left] = [3 * RIGHT_IRIS, 3 * LEFT_IRIS];
  const eyes = Math.hypot(second[right]! - second[left]!, second[right + 1]! - second[left + 1]!);
  return sum / (first.length / 3) / Math.max(eyes, TINY);
}

/** Of a fit and the others of the same face, the one whose passes differ least. */
function bestFit(fit: MeshFit, others: MeshFit[]): MeshFit {
  const same = others.filter((other) => sameFace(other.detection, fit.detection));
  return same.reduce((best, other) => (other.disagreement < best.disagreement ? other : best), fit);
}

/** Whether landmarks are about as wide as the detector's box. */
function agree({ box }: Detection, landmarks: Points): boolean {
  const share = extent(landmarks, Math.cos(box.angle), Math.sin(box.angle)) / box.width;
  return share > LEAST_AGREEMENT && share < LARGEST_AGREEMENT;
}

/** How far landmarks reach along the direction (x, y), in their unit. */
function extent(landmarks: Points, x: number, y: number): number {
  let [least, most] = [Infinity, -Infinity];
  for (let k = 0; k < landmarks.length; k += 3) {
    const along = x * landmarks[k]! + y * landmarks[k + 1]!;
    least = Math.min(least, along);
    most = Math.max(most, along);
  }
  return most - least;
}
