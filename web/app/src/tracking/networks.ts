// The tracker's three networks, run by onnxruntime-web.

import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";

export const [FULL_RANGE, SHORT_RANGE, LANDMARKS] = ["face_full_range", "face_short_range", "face_landmarks"] as const;
const NAMES = [FULL_RANGE, SHORT_RANGE, LANDMARKS];

/** More threads than this gain nothing. */
const MOST_THREADS = 4;

/** Runs a network, named as its file without ending, on pictures: N * side * side * 3, RGB -> its outputs by name. */
export type Run = (name: string, images: Uint8Array, side: number) => Promise<Record<string, Float32Array<ArrayBuffer>>>;

/**
 * Open the networks.
 *
 * @param root Address of the page: networks/NAME.onnx and ort/NAME lie under it.
 * @throws If a file is missing, or the browser cannot run WebAssembly with SIMD.
 */
export async function openNetworks(root: string): Promise<Run> {
  env.logLevel = "error";
  env.wasm.wasmPaths = new URL("ort/", root).href;
  // Half the cores: the others are for the page and for a server on the same machine. Without isolation, browsers
  // share no memory between threads.
  const cores = Math.floor(navigator.hardwareConcurrency / 2);
  env.wasm.numThreads = crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, cores)) : 1;
  const contents = await Promise.all(NAMES.map((name) => load(new URL(`networks/${name}.onnx`, root).href)));
  const sessions = new Map<string, InferenceSession>();
  for (const [k, name] of NAMES.entries()) sessions.set(name, await open(contents[k]!));
  return async (name, images, side) => {
    const shape = [images.length / (side * side * 3), side, side, 3];
    const outputs = await sessions.get(name)!.run({ image: new Tensor("uint8", images, shape) });
    return Object.fromEntries(Object.entries(outputs).map(([key, { data }]) => [key, data as Float32Array<ArrayBuffer>]));
  };
}

async function load(address: string): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} is missing on the server (${response.status}).`);
  return new Uint8Array(await response.arrayBuffer());
}

function open(content: Uint8Array): Promise<InferenceSession> {
  return InferenceSession.create(content, {
    executionProviders: ["wasm"],
    logSeverityLevel: 4,
    // Waiting threads must not spin: the page needs the cores.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
}
