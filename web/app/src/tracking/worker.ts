// The tracker, in a thread of its own: the page stays smooth meanwhile.

import { findLandmarks } from "./landmarks";
import type { Answer, Request } from "./messages";
import { openNetworks, type Run } from "./networks";
import { readPixels, type Picture } from "./pictures";
import { FaceTracker } from "./tracker";

declare const self: DedicatedWorkerGlobalScope;

/** Milliseconds of frames before the measured ones: browsers compile what runs often once more, to run faster. */
const WARM_UP = 1200;
const MEASURED_FRAMES = 5;
/** Pixels of the measured frame; what webcams give at least. */
const [WIDTH, HEIGHT] = [640, 480];

let run: Run;
let tracker: FaceTracker;
// Requests are answered one after another.
let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Request>) => {
  last = last.then(async () => {
    const answer = await answered(data).catch((error: unknown): Answer => ({ error: sentence(error) }));
    const transfer = "landmarks" in answer && answer.landmarks ? [answer.landmarks.buffer] : [];
    self.postMessage(answer, transfer);
  });
};

async function answered(request: Request): Promise<Answer> {
  if (request.kind === "start") {
    run = await openNetworks(request.root);
    tracker = new FaceTracker(run);
    return { landmarks: null, milliseconds: 0 };
  }
  if (request.kind === "measure") return { landmarks: null, milliseconds: await measured() };
  const start = performance.now();
  const landmarks = await tracker.process(pixels(request.frame));
  return { landmarks, milliseconds: performance.now() - start };
}

/** The pixels of a frame, which is closed. */
function pixels(frame: ImageBitmap | VideoFrame): Picture {
  try {
    return readPixels(frame);
  } finally {
    frame.close();
  }
}

/** Median milliseconds to follow a face; the network takes as long without one. */
async function measured(): Promise<number> {
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  canvas.getContext("2d");
  const region = { x: WIDTH / 2, y: HEIGHT / 2, width: HEIGHT / 2, height: HEIGHT / 2, angle: 0 };
  const frame = async () => {
    const start = performance.now();
    await findLandmarks(run, pixels(await createImageBitmap(canvas)), region);
    return performance.now() - start;
  };
  for (let spent = 0; spent < WARM_UP; spent += await frame());
  const times: number[] = [];
  while (times.length < MEASURED_FRAMES) times.push(await frame());
  return times.sort((a, b) => a - b)[MEASURED_FRAMES >> 1]!;
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
