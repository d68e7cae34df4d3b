import { defineConfig } from "vite";

// A dev server passes what the page asks of the API on to `gioconda serve --no-page`.
const API = "http://127.0.0.1:7860";

export default defineConfig({
  // The page works under any prefix of a proxy.
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../../src/gioconda/web/page/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    reportCompressedSize: true,
  },
  server: { proxy: { "/v1": { target: API, ws: true }, "/docs": API } },
});
