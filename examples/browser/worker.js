// Runs the network beside the page, so that the page stays responsive: RGBA pixels in, RGBA pixels out.

import { removeHighlights } from "./separation.js";

// A copy of the package's dist/ beside this file is taken first; else the files come from a public mirror of it.
const RUNTIMES = ["./ort/", "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/"];
const MODEL = "aha-lite.onnx";
const MULTIPLE = 32; // the sides that the network takes: its stride

let ort;
let session;
const ready = load().then(
  () => postMessage({ kind: "ready" }),
  (error) => postMessage({ kind: "broken", text: error.message }),
);

onmessage = async ({ data }) => {
  await ready;
  try {
    const { pixels, width, height, lookForSmall } = data;
    const progress = (text, share) => postMessage({ kind: "progress", text, share });
    const changed = await removeHighlights(pixels, width, height, { separate, lookForSmall, progress });
    postMessage({ kind: "done", pixels, width, height, changed }, [pixels.buffer]);
  } catch (error) {
    postMessage({ kind: "failed", text: `The picture could not be separated: ${error.message}` });
  }
};

async function load() {
  for (const place of RUNTIMES) {
    const folder = new URL(place, import.meta.url).href;
    try {
      ort = await import(`${folder}ort.wasm.min.mjs`);
      ort.env.wasm.wasmPaths = folder;
      break;
    } catch {
      // the next one
    }
  }
  if (!ort) throw new Error("onnxruntime-web could not be loaded: copy its dist/ to ort/ beside this page.");
  const answer = await fetch(new URL(MODEL, import.meta.url));
  if (!answer.ok) {
    throw new Error(`${MODEL} is not beside this page: python export.py --output examples/browser/${MODEL}`);
  }
  session = await ort.InferenceSession.create(await answer.arrayBuffer(), { executionProviders: ["wasm"] });
}

// The layers (specular 3, highlight 1, interleaved) of an RGB picture in [0, 1]: what the network finds in it, or
// with 2 copies in it and in its mirror image, as restoration/separator.py.
async function separate(rgb, width, height, copies) {
  const [rows, columns] = [height, width].map((side) => Math.ceil(side / MULTIPLE) * MULTIPLE);
  const plane = rows * columns;
  const input = new Float32Array(copies * 3 * plane);
  const mirrored = rows - height < height && columns - width < width;
  const inside = (i, side) => (i < side ? i : mirrored ? 2 * (side - 1) - i : side - 1);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const from = inside(y, height) * width;
      const column = inside(x, width);
      for (let c = 0; c < 3; c++) {
        input[c * plane + y * columns + x] = rgb[3 * (from + column) + c];
        if (copies === 2) input[(3 + c) * plane + y * columns + x] = rgb[3 * (from + width - 1 - column) + c];
      }
    }
  }
  const image = new ort.Tensor("float32", input, [copies, 3, rows, columns]);
  const { diffuse, highlight } = await session.run({ image });
  const layers = new Float32Array(4 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const to = 4 * (y * width + x);
      const here = y * columns + x;
      const there = copies === 2 ? plane + y * columns + width - 1 - x : here; // in the mirror image
      for (let c = 0; c < 3; c++) {
        const value = rgb[3 * (y * width + x) + c];
        const [one, mirrored] = [here, (copies - 1) * 2 * plane + there].map((at) =>
          Math.min(value, Math.max(0, value - diffuse.data[c * plane + at])));
        layers[to + c] = Math.sqrt(one * mirrored);
      }
      layers[to + 3] = Math.sqrt(Math.max(0, highlight.data[here]) * Math.max(0, highlight.data[there]));
    }
  }
  return layers;
}
