// Tracks a face in this browser, with the networks that `gioconda.face.FaceTracker` runs on the server.

import type { Answer, Request, Result } from "./messages";
import type { Points } from "./regions";

/** Milliseconds a frame from which tracking on the server is smoother. */
const SLOWEST = 60;

/** A face in a frame. */
export interface TrackedFace {
  /** x, y, z of 478 points in pixels of the frame: `gioconda.types.Face.landmarks`, row by row. */
  landmarks: Points;
  /** Time of the frame, as given. */
  seconds: number;
  /** That the tracker took. */
  milliseconds: number;
}

/** Tracks one face from frame to frame. */
export interface Tracker {
  /**
   * The face in the next frame; null without a face, and once the tracker is closed.
   *
   * Frames are tracked in the order of the calls. To skip those that come too fast, wait for each result.
   *
   * @param source Transferred to the tracker, which closes it.
   * @param seconds Time of the frame; later than the one before.
   * @throws RangeError: the time is not later. Error: the browser cannot read the frame or run the networks.
   */
  track(source: ImageBitmap | VideoFrame, seconds: number): Promise<TrackedFace | null>;
  /** End the worker and free its memory. */
  close(): void;
}

/** The worker, started and answering requests in turn. */
interface Engine {
  ask(request: Request, transfer?: Transferable[]): Promise<Result>;
  end(): void;
}

// The engine that canTrack has started, for the tracker that follows; null if it is too slow.
let measured: Promise<Engine | null> | null = null;

/**
 * Whether this browser tracks a face fast enough. Loads the networks and runs them a few times; createTracker takes
 * them over.
 */
export async function canTrack(): Promise<boolean> {
  measured ??= fastEngine();
  if (await measured) return true;
  measured = null;
  return false;
}

/** An engine that takes at most SLOWEST for a frame; null if this browser has none. */
async function fastEngine(): Promise<Engine | null> {
  if (typeof Worker === "undefined" || typeof OffscreenCanvas === "undefined") return null;
  try {
    const engine = await start();
    const { milliseconds } = await engine.ask({ kind: "measure" });
    if (milliseconds <= SLOWEST) return engine;
    engine.end();
  } catch {
    // No WebAssembly with SIMD, or files that cannot be loaded: the server tracks.
  }
  return null;
}

/**
 * Start a tracker.
 *
 * @throws Error: the networks cannot be loaded, or the browser cannot run them.
 */
export async function createTracker(): Promise<Tracker> {
  const fast = measured;
  measured = null;
  const engine = (await fast) ?? (await start());
  let latest = -Infinity;
  let closed = false;
  return {
    async track(source, seconds) {
      const late = !(seconds > latest);
      if (closed || late) source.close();
      if (closed) return null;
      if (late) throw new RangeError(`The frame at ${seconds} s is not later than the one at ${latest} s.`);
      latest = seconds;
      const { landmarks, milliseconds } = await engine.ask({ kind: "track", frame: source }, [source]);
      return landmarks && { landmarks, seconds, milliseconds };
    },
    close() {
      closed = true;
      engine.end();
    },
  };
}

/** Start a worker and open its networks. */
async function start(): Promise<Engine> {
  const engine = startWorker();
  try {
    await engine.ask({ kind: "start", root: new URL(".", document.baseURI).href });
    return engine;
  } catch (error) {
    engine.end();
    throw error;
  }
}

function startWorker(): Engine {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const waiting: { resolve(answer: Answer): void }[] = [];
  const settle = (answer: Answer) => waiting.shift()?.resolve(answer);
  worker.onmessage = ({ data }: MessageEvent<Answer>) => settle(data);
  worker.onerror = () => {
    while (waiting.length) settle({ error: "The browser cannot run the tracker's worker." });
  };
  return {
    async ask(request, transfer = []) {
      const answer = await new Promise<Answer>((resolve) => {
        worker.postMessage(request, transfer);
        waiting.push({ resolve });
      });
      if ("error" in answer) throw new Error(answer.error);
      return answer;
    },
    end() {
      worker.terminate();
      while (waiting.length) settle({ landmarks: null, milliseconds: 0 });
    },
  };
}
