// The page: a picture in, before and after with a slider, the result as a PNG of the same size.

const LONGEST = 16384; // pixels along a side that a canvas can hold in today's browsers
const find = (id) => document.getElementById(id);
const before = find("before");
const after = find("after");
const worker = new Worker("worker.js", { type: "module" });
let title = ""; // name of the file

worker.onmessage = ({ data }) => {
  if (data.kind === "ready") {
    find("file").disabled = false;
    say("Ready.");
  } else if (data.kind === "progress") {
    say(data.text, data.share);
  } else if (data.kind === "broken") {
    fail(data.text);
  } else if (data.kind === "failed") {
    find("file").disabled = false;
    fail(data.text);
  } else {
    show(data).catch((error) => fail(String(error)));
  }
};
worker.onerror = (event) => fail(event.message || "The worker of this page could not be loaded.");
say("Loading the network …");

find("file").addEventListener("change", (event) => open(event.target.files[0]));
find("slider").addEventListener("input", (event) => {
  after.style.setProperty("--cut", `${event.target.value}%`);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  find("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !find("file").disabled) open(event.dataTransfer.files[0]);
  });
}

async function open(file) {
  if (!file) return;
  find("file").value = ""; // the same file may be chosen again
  let picture;
  try {
    picture = await createImageBitmap(file); // upright, and in sRGB whatever the profile of the file
  } catch {
    return fail(`${file.name} is no picture that this browser can read.`);
  }
  const { width, height } = picture;
  if (Math.max(width, height) > LONGEST) {
    return fail(`${file.name} has ${width}x${height} pixels; browsers draw at most ${LONGEST} along a side.`);
  }
  find("file").disabled = true;
  find("result").hidden = true;
  title = file.name;
  for (const canvas of [before, after]) Object.assign(canvas, { width, height });
  const context = before.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  picture.close();
  const pixels = context.getImageData(0, 0, width, height).data;
  const message = { pixels, width, height, lookForSmall: find("small").checked };
  worker.postMessage(message, [pixels.buffer]);
}

async function show({ pixels, width, height, changed }) {
  after.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  const file = await new Promise((resolve) => after.toBlob(resolve, "image/png"));
  const link = find("download");
  if (link.href) URL.revokeObjectURL(link.href);
  const download = `${title.replace(/\.[^.]*$/, "")}-removed.png`;
  Object.assign(link, { href: URL.createObjectURL(file), download });
  find("result").hidden = false;
  find("file").disabled = false;
  const share = ((100 * changed) / (width * height)).toFixed(1);
  say(`Done with ${title}: ` + (changed ? `${share} % of the pixels changed.` : "the network found no highlight."));
}

function say(text, share) {
  find("status").textContent = text;
  find("status").classList.remove("failed");
  find("progress").hidden = share === undefined;
  find("progress").value = share ?? 0;
}

function fail(text) {
  say(text);
  find("status").classList.add("failed");
}
