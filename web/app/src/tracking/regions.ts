// Rectangles of a picture, at any angle, that are cropped as input of a network.

import { blockMeans, RGBA, type Picture } from "./pictures";

/** Channels of a network's input. */
const RGB = 3;
/** Side of a face's crop relative to the face; the mesh network was trained on such crops. */
export const FACE_MARGIN = 1.5;
/** Pixels of the picture per pixel of the crop from which bilinear sampling would alias. */
const COARSE_STEP = 2;
/** Positions between pixels that OpenCV, which the Python package crops with, tells apart: 2 ** STEP_BITS. */
const STEP_BITS = 5;
const STEPS = 1 << STEP_BITS;
/** Added to a mean of four pixels, in units of STEPS ** -2, to round it. */
const HALF = (STEPS * STEPS) >> 1;
/** Landmarks at the outer corners of the subject's own eyes. */
const [RIGHT_EYE_OUTER, LEFT_EYE_OUTER] = [33, 263];

/**
 * A rectangle of a picture. As in MediaPipe, whole numbers are the corners of pixels within a crop and their centres
 * in the picture.
 */
export interface Region {
  /** Centre, pixels. */
  x: number;
  y: number;
  /** Pixels. */
  width: number;
  height: number;
  /** Radians, positive clockwise on the screen. */
  angle: number;
}

/** x' = a x + c y + e, y' = b x + d y + f. */
interface Affine {
  a: number;
  b: number;
  c: number;
  d: number;
  e: number;
  f: number;
}

/** x, y or x, y, z of points, one after another. */
export type Points = Float32Array<ArrayBuffer>;

/** What a crop shows outside the picture: its nearest pixel, or black. */
export type Border = "replicate" | "black";

/** The map from the unit square to pixels of the picture. */
function toPicture({ x, y, width, height, angle }: Region): Affine {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  const [a, b, c, d] = [cosine * width, sine * width, -sine * height, cosine * height];
  return { a, b, c, d, e: x - (a + c) / 2, f: y - (b + d) / 2 };
}

/** The region about the same centre, `factor` times as wide and high. */
export function scaled(region: Region, factor: number): Region {
  return { ...region, width: region.width * factor, height: region.height * factor };
}

/** Crop a region by bilinear sampling: side * side * 3, RGB. */
export function crop(picture: Picture, region: Region, side: number, border: Border): Uint8Array {
  const { a, b, c, d, e, f } = toPicture(region);
  const { width, height, data } = picture;
  const black = border === "black";
  const out = new Uint8Array(side * side * RGB);
  let to = 0;
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const x = Math.round(((a * column + c * row) / side + e) * STEPS) | 0;
      const y = Math.round(((b * column + d * row) / side + f) * STEPS) | 0;
      const left = x >> STEP_BITS;
      const top = y >> STEP_BITS;
      // Shares of the four pixels around the position, and their offsets.
      const east = black && outside(left + 1, width) ? 0 : x - left * STEPS;
      const west = black && outside(left, width) ? 0 : STEPS - (x - left * STEPS);
      const south = black && outside(top + 1, height) ? 0 : y - top * STEPS;
      const north = black && outside(top, height) ? 0 : STEPS - (y - top * STEPS);
      const upper = clip(top, height) * width;
      const lower = clip(top + 1, height) * width;
      const northWest = RGBA * (upper + clip(left, width));
      const northEast = RGBA * (upper + clip(left + 1, width));
      const southWest = RGBA * (lower + clip(left, width));
      const southEast = RGBA * (lower + clip(left + 1, width));
      for (let k = 0; k < RGB; k++) {
        const above = west * data[northWest + k]! + east * data[northEast + k]!;
        const below = west * data[southWest + k]! + east * data[southEast + k]!;
        out[to++] = (north * above + south * below + HALF) >> (2 * STEP_BITS);
      }
    }
  }
  return out;
}

/** Whether an index is outside a length. */
function outside(index: number, length: number): boolean {
  return index < 0 || index >= length;
}

/** The nearest index within a length. */
function clip(index: number, length: number): number {
  return index < 0 ? 0 : index >= length ? length - 1 : index;
}

/** Crop a region, shrinking one of much higher resolution by area averaging first: side * side * 3, RGB. */
export function smoothCrop(picture: Picture, region: Region, side: number): Uint8Array {
  const step = Math.trunc(Math.min(region.width, region.height) / side);
  if (step < COARSE_STEP) return crop(picture, region, side, "replicate");
  const reach = Math.hypot(region.width, region.height) / 2;
  const [left, top] = [region.x, region.y].map((centre) => Math.max(0, Math.trunc(centre - reach))) as [number, number];
  const columns = Math.trunc((Math.min(picture.width, Math.trunc(region.x + reach) + 1) - left) / step);
  const rows = Math.trunc((Math.min(picture.height, Math.trunc(region.y + reach) + 1) - top) / step);
  if (columns < 1 || rows < 1) return crop(picture, region, side, "replicate");
  const coarse = blockMeans(picture, left, top, columns, rows, step);
  // The centre of a coarse pixel is that of the pixels that it covers.
  const middle = (step - 1) / 2;
  const moved = { ...region, x: region.x - left - middle, y: region.y - top - middle };
  const shrunk = scaled({ ...moved, x: moved.x / step, y: moved.y / step }, 1 / step);
  return crop(coarse, shrunk, side, "replicate");
}

/** Points x, y (, z) of the unit square in pixels of the picture; depth counts in widths. */
export function toPixels(region: Region, points: Points, dimensions: 2 | 3): Points {
  const { a, b, c, d, e, f } = toPicture(region);
  const pixels = new Float32Array(points.length);
  for (let k = 0; k < points.length; k += dimensions) {
    const [x, y] = [points[k]!, points[k + 1]!];
    pixels[k] = a * x + c * y + e;
    pixels[k + 1] = b * x + d * y + f;
    if (dimensions === 3) pixels[k + 2] = points[k + 2]! * region.width;
  }
  return pixels;
}

/** The square, upright in the face, around landmarks x, y, z in pixels; MediaPipe crops the next frame likewise. */
export function aroundLandmarks(landmarks: Points): Region {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let k = 0; k < landmarks.length; k += 3) {
    left = Math.min(left, landmarks[k]!);
    right = Math.max(right, landmarks[k]!);
    top = Math.min(top, landmarks[k + 1]!);
    bottom = Math.max(bottom, landmarks[k + 1]!);
  }
  const side = FACE_MARGIN * Math.max(right - left, bottom - top);
  const across = [0, 1].map((axis) => landmarks[3 * LEFT_EYE_OUTER + axis]! - landmarks[3 * RIGHT_EYE_OUTER + axis]!);
  const angle = Math.atan2(across[1]!, across[0]!);
  return { x: (left + right) / 2, y: (top + bottom) / 2, width: side, height: side, angle };
}

/** The angle from `b` to `a` in radians, -pi to pi. */
export function angleBetween(a: number, b: number): number {
  const turn = (a - b + Math.PI) % (2 * Math.PI);
  return (turn < 0 ? turn + 2 * Math.PI : turn) - Math.PI;
}
