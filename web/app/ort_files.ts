import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** onnxruntime-web's smallest build, for processors: a loader and 14 MB of WebAssembly. */
const [LOADER, WASM] = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const TYPES: Record<string, string> = { [LOADER!]: "text/javascript", [WASM!]: "application/wasm" };
/** The byte of a gzip header that names the operating system, and what stands there for none. */
const [SYSTEM, UNKNOWN] = [9, 255];

const require = createRequire(import.meta.url);
const content = (name: string) => readFileSync(require.resolve(`onnxruntime-web/${name}`));

function gzipped(name: string): Uint8Array {
  const bytes = gzipSync(content(name), { level: 9 });
  bytes[SYSTEM!] = UNKNOWN!;
  return bytes;
}

/** Gives the page ort/NAME, outside the bundles, as onnxruntime-web loads it; a build holds the WebAssembly gzipped. */
export function ortFiles(): Plugin {
  return {
    name: "ort-files",
    configureServer(server) {
      for (const [name, type] of Object.entries(TYPES))
        server.middlewares.use(`/ort/${name}`, (_, response) => {
          response.setHeader("Content-Type", type);
          response.end(content(name));
        });
    },
    generateBundle() {
      this.emitFile({ type: "asset", fileName: `ort/${LOADER}`, source: content(LOADER!) });
      this.emitFile({ type: "asset", fileName: `ort/${WASM}.gz`, source: gzipped(WASM!) });
    },
  };
}
