// Open the tracker's networks in onnxruntime-web and compare them with onnxruntime's own results.
//
//   npm install --prefix DIR onnxruntime-web@1.30.0
//   python scripts/browser_reference.py DIR/reference     # inputs and outputs by onnxruntime in Python
//   node scripts/check_browser_networks.mjs DIR
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const folder = path.resolve(process.argv[2] ?? ".");
const ort = createRequire(path.join(folder, "x.js"))("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const RUNS = 20;
const reference = JSON.parse(await readFile(path.join(folder, "reference", "index.json"), "utf8"));

const floats = async (name) => {
  const bytes = await readFile(path.join(folder, "reference", name));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
};

for (const { network, file, side, outputs } of reference) {
  const start = performance.now();
  const session = await ort.InferenceSession.create(await readFile(file), { executionProviders: ["wasm"] });
  const opened = performance.now() - start;
  const image = new Uint8Array(await readFile(path.join(folder, "reference", `${network}.image`)));
  const feeds = { image: new ort.Tensor("uint8", image, [1, side, side, 3]) };
  const found = await session.run(feeds);
  let worst = 0;
  for (const name of outputs) {
    const expected = await floats(`${network}.${name}`);
    if (expected.length !== found[name].data.length) throw new Error(`${network}: ${name} has another size`);
    expected.forEach((value, k) => { worst = Math.max(worst, Math.abs(value - found[name].data[k])); });
  }
  const times = [];
  for (let k = 0; k < RUNS; k++) {
    const before = performance.now();
    await session.run(feeds);
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  console.log(`| ${network} | ${worst.toExponential(1)} | ${opened.toFixed(0)} | ${times[0].toFixed(0)} | ${times[RUNS / 2].toFixed(0)} |`);
}
