import { defaultClientConditions, defineConfig } from "vite";
import { ortFiles } from "./ort_files.ts";

// A dev server passes what the page asks of the API on to `gioconda serve --no-page`.
const API = "http://127.0.0.1:7860";

export default defineConfig({
  // The page works under any prefix of a proxy.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [ortFiles()],
  // onnxruntime-web's loader stays a file of its own, which its threads start again.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  worker: { format: "es" },
  build: {
    outDir: "../../src/gioconda/web/page/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    reportCompressedSize: true,
    rolldownOptions: {
      // The tracker has an address without a hash, for whoever imports it by itself.
      input: { index: "index.html", tracking: "src/tracking/index.ts" },
      preserveEntrySignatures: "exports-only",
      output: { entryFileNames: ({ name }) => (name === "tracking" ? "tracking.js" : "assets/[name]-[hash].js") },
    },
  },
  server: { proxy: { "/v1": { target: API, ws: true }, "/docs": API, "/networks": API } },
});
