// Pictures in memory: parts of them, and area averaging.

/** A picture; pixels follow each other in rows. */
export interface Picture {
  width: number;
  height: number;
  /** RGBA, 0 to 255, height * width * 4. Alpha is not read. */
  data: Uint8ClampedArray;
}

export const RGBA = 4;

let canvas: OffscreenCanvas | null = null;

/** The pixels of a frame, in its own size. */
export function readPixels(frame: ImageBitmap | VideoFrame): Picture {
  const [width, height] =
    "displayWidth" in frame ? [frame.displayWidth, frame.displayHeight] : [frame.width, frame.height];
  if (canvas?.width !== width || canvas.height !== height) canvas = new OffscreenCanvas(width, height);
  // Kept in main memory: reading back from a GPU takes longer than drawing.
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new Error("This browser cannot draw a picture in the background.");
  context.drawImage(frame, 0, 0);
  return { width, height, data: context.getImageData(0, 0, width, height).data };
}

/** A rectangle of a picture, in whole pixels within it. */
export function part(picture: Picture, left: number, top: number, width: number, height: number): Picture {
  const data = new Uint8ClampedArray(width * height * RGBA);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * picture.width + left) * RGBA;
    data.set(picture.data.subarray(start, start + width * RGBA), row * width * RGBA);
  }
  return { width, height, data };
}

/** Shrink a rectangle of a picture: each new pixel is the mean of a square of `step` by `step`. */
export function blockMeans(
  picture: Picture,
  left: number,
  top: number,
  columns: number,
  rows: number,
  step: number,
): Picture {
  const data = new Uint8ClampedArray(columns * rows * RGBA);
  const sums = new Uint32Array(columns * RGBA);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (let y = 0; y < step; y++) {
      let from = ((top + row * step + y) * picture.width + left) * RGBA;
      for (let to = 0; to < sums.length; to += RGBA) {
        for (let x = 0; x < step; x++, from += RGBA) {
          sums[to]! += picture.data[from]!;
          sums[to + 1]! += picture.data[from + 1]!;
          sums[to + 2]! += picture.data[from + 2]!;
        }
      }
    }
    for (let k = 0; k < sums.length; k++) data[row * sums.length + k] = sums[k]! / (step * step);
  }
  return { width: columns, height: rows, data };
}

/** Shrink a picture; each new pixel is the mean of the area that it covers. */
export function areaAveraged(picture: Picture, width: number, height: number): Picture {
  const rows = averagedRows(picture, height);
  const data = new Uint8ClampedArray(width * height * RGBA);
  const columns = spans(picture.width, width);
  for (let y = 0, to = 0; y < height; y++) {
    for (const { first, shares } of columns) {
      for (let channel = 0; channel < RGBA; channel++) {
        let from = (y * picture.width + first) * RGBA + channel;
        let sum = 0;
        for (let k = 0; k < shares.length; k++, from += RGBA) sum += shares[k]! * rows[from]!;
        data[to++] = sum;
      }
    }
  }
  return { width, height, data };
}

/** Means over the areas of `height` rows: height * picture.width * 4. */
function averagedRows(picture: Picture, height: number): Float32Array {
  const length = picture.width * RGBA;
  const rows = new Float32Array(height * length);
  spans(picture.height, height).forEach(({ first, shares }, y) => {
    for (let k = 0; k < shares.length; k++) {
      const share = shares[k]!;
      const from = (first + k) * length;
      for (let x = 0; x < length; x++) rows[y * length + x]! += share * picture.data[from + x]!;
    }
  });
  return rows;
}

/** The old pixels that a new one covers: the first of them, and the share of each in the new one. */
interface Span {
  first: number;
  shares: Float64Array;
}

/** The span of each new pixel along a length. */
function spans(before: number, after: number): Span[] {
  const scale = before / after;
  return Array.from({ length: after }, (_, place) => {
    const start = place * scale;
    const end = Math.min(before, (place + 1) * scale);
    const first = Math.floor(start);
    const covered = (_: unknown, k: number) => Math.min(first + k + 1, end) - Math.max(first + k, start);
    return { first, shares: Float64Array.from({ length: Math.ceil(end) - first }, covered).map((part) => part / (end - start)) };
  });
}
