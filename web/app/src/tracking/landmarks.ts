// The mesh network (Grishchenko et al. 2020): regions of a picture -> landmarks of the faces in them.

import { MIRRORED } from "./mirror";
import { LANDMARKS, type Run } from "./networks";
import type { Picture } from "./pictures";
import { smoothCrop, toPixels, type Points, type Region } from "./regions";

/** Pixels; side of the network's input. */
const CROP_SIDE = 192;
/** Numbers that place a face: x, y, z of 478 points. */
const PLACES = 3 * MIRRORED.length;
/** Crops in one run of the network; each takes some 10 MB meanwhile. */
const BATCH = 8;
/** Least presence of a face, 0 to 1. */
export const PRESENT = 0.5;
/** The network places points this far to the right, in pixels of the crop; landmarks of mirrored crops get it too. */
const BIAS = 0.3;

/** Landmarks x, y, z of 478 points in pixels of the picture, and presence of a face, 0 to 1. */
export interface MeshResult {
  landmarks: Points;
  presence: number;
}

/** Landmarks of the face in a region of a picture. */
export async function findLandmarks(run: Run, picture: Picture, region: Region): Promise<MeshResult> {
  return (await findLandmarksIn(run, picture, [region], [false]))[0]!;
}

/**
 * Landmarks of the faces in regions of a picture.
 *
 * @param mirrored Whether the network gets the mirror image of each region; landmarks are not mirrored.
 */
export async function findLandmarksIn(
  run: Run,
  picture: Picture,
  regions: Region[],
  mirrored: boolean[],
): Promise<MeshResult[]> {
  const found: MeshResult[] = [];
  for (let first = 0; first < regions.length; first += BATCH) {
    const batch = regions.slice(first, first + BATCH);
    const images = new Uint8Array(batch.length * CROP_SIDE * CROP_SIDE * 3);
    batch.forEach((region, k) => {
      const image = smoothCrop(picture, region, CROP_SIDE);
      images.set(mirrored[first + k] ? mirrorImage(image) : image, k * image.length);
    });
    const { landmarks, score } = await run(LANDMARKS, images, CROP_SIDE);
    batch.forEach((region, k) => {
      const points = landmarks!.slice(k * PLACES, (k + 1) * PLACES).map((value) => value / CROP_SIDE);
      const upright = mirrored[first + k] ? unmirrored(points) : points;
      found.push({ landmarks: toPixels(region, upright, 3), presence: score![k]! });
    });
  }
  return found;
}

/** The mirror image of a crop. */
function mirrorImage(image: Uint8Array): Uint8Array {
  const mirrored = new Uint8Array(image.length);
  const [pixel, row] = [3, 3 * CROP_SIDE];
  for (let at = 0; at < image.length; at += pixel) {
    const start = at - (at % row);
    mirrored.set(image.subarray(at, at + pixel), start + row - pixel - (at - start));
  }
  return mirrored;
}

/** Landmarks of a mirrored crop, moved to the crop itself; unit square. */
function unmirrored(points: Points): Points {
  // Pixel k of a crop of side S is at k / S, and its mirror image at (S - 1 - k) / S.
  const far = (CROP_SIDE - 1 + 2 * BIAS) / CROP_SIDE;
  const moved = new Float32Array(points.length);
  MIRRORED.forEach((counterpart, k) => {
    moved[3 * k] = far - points[3 * counterpart]!;
    moved[3 * k + 1] = points[3 * counterpart + 1]!;
    moved[3 * k + 2] = points[3 * counterpart + 2]!;
  });
  return moved;
}
