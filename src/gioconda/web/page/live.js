// The tab Live. A webcam picture goes out when the server is about to be done with the one before: the latest wins,
// and none waits in a row.
const DEPTH = 2, LONGEST = 384, QUALITY = 0.85, TICK = 8;
const find = (selector) => element.querySelector(selector);
const live = find(".live"), canvas = find("canvas"), video = find("video"), told = find(".told"), figures = find(".figures");
const context = canvas.getContext("2d");
const taken = document.createElement("canvas");
let session = "", stream = null, under = 0, sent = 0, drawn = 0, calibrate = false, faceless = 0, times = [], over = "";
let fresh = false, last = 0, pace = 40; // ms that the server takes for a picture

const say = (words) => { if (told.textContent !== words) told.textContent = words; };

async function begin() {
  live.hidden = false;
  figures.textContent = "";
  sent = drawn = faceless = 0;
  calibrate = false;
  times = [];
  if (!navigator.mediaDevices) return end("The browser gives the webcam to pages of https:// and of this machine alone.");
  say("The browser asks whether the page may use the webcam.");
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" }, audio: false,
    });
  } catch (error) {
    return end(error.name === "NotAllowedError" ? "The webcam was not allowed." : "No webcam can be used.");
  }
  stream.getVideoTracks()[0].addEventListener("ended", () => end("The webcam has ended."));
  video.srcObject = stream;
  await video.play().catch(() => {});
  say("Look straight ahead, your mouth shut.");
  watchFrames(session);
  tick(session);
}

function end(words) {
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = video.srcObject = null;
  if (session) over = session;
  session = "";
  free();
  find(".stop").disabled = find(".neutral").disabled = true;
  say(words);
}

// ends a session once no picture is under way
function free() {
  if (!over || under) return;
  fetch(`v1/live/${over}/end`, { method: "POST" }).catch(() => {});
  over = "";
}

// notes each new picture of the webcam
function watchFrames(mine) {
  fresh = true;
  if (mine !== session || !stream) return;
  const again = () => watchFrames(mine);
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(again);
  else setTimeout(again, 33);
}

function tick(mine) {
  if (mine !== session || !stream) return;
  const due = !under || (under < DEPTH && performance.now() - last >= pace);
  if (fresh && due) send(mine);
  setTimeout(() => tick(mine), TICK);
}

function take() {
  const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
  taken.width = Math.round(video.videoWidth * scale);
  taken.height = Math.round(video.videoHeight * scale);
  const paper = taken.getContext("2d");
  if (find(".mirror").checked) paper.setTransform(-1, 0, 0, 1, taken.width, 0);
  paper.drawImage(video, 0, 0, taken.width, taken.height);
  return new Promise((done) => { taken.toBlob(done, "image/jpeg", QUALITY); });
}

async function send(mine) {
  if (!video.videoWidth) return;
  under += 1;
  fresh = false;
  const number = ++sent, began = last = performance.now();
  try {
    const jpeg = await take(), how = calibrate ? "?calibrate=true" : "";
    calibrate = false;
    const answer = await fetch(`v1/live/${mine}/follow${how}`, { method: "POST", body: jpeg });
    if (mine !== session) return;
    pace += 0.2 * (Number(answer.headers.get("X-milliseconds") || pace) - pace);
    if (answer.status === 200) await draw(mine, await answer.blob(), number, began);
    else if (answer.status === 204) missing();
    else if (answer.status !== 429) end((await answer.json().catch(() => ({}))).error || "The server refuses this.");
  } catch (error) {
    if (mine === session) end("The server does not answer.");
  } finally {
    under -= 1;
    free();
  }
}

function missing() {
  faceless += 1;
  if (faceless > 3) say("No face seen.");
}

async function draw(mine, blob, number, began) {
  const picture = await createImageBitmap(blob);
  if (mine === session && number > drawn) { // it may have been stopped meanwhile, and pictures overtake each other
    drawn = number;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    element.dispatchEvent(new CustomEvent("drawn", { detail: { asked: began }, bubbles: true }));
    count(began);
    if (faceless || sent > 20) say("");
    faceless = 0;
  }
  picture.close();
}

function count(began) {
  const now = performance.now();
  times = times.filter(([at]) => now - at < 2000);
  times.push([now, now - began]);
  if (drawn % 10) return;
  const delays = times.map(([, delay]) => delay).sort((a, b) => a - b);
  const rate = (times.length - 1) / Math.max(0.001, (now - times[0][0]) / 1000);
  figures.textContent = `${rate.toFixed(0)} frames a second, ${delays[delays.length >> 1].toFixed(0)} ms behind`;
}

find(".stop").addEventListener("click", () => end("Stopped. Nothing of the webcam was kept."));
find(".neutral").addEventListener("click", () => { calibrate = true; });
find(".mirror").addEventListener("change", (event) => { live.classList.toggle("plain", !event.target.checked); });

watch("value", () => {
  const value = props.value;
  if (!value || !value.session || value.session === session) return;
  if (session) end("");
  session = value.session;
  find(".stop").disabled = find(".neutral").disabled = false;
  begin();
});

window.addEventListener("pagehide", () => { if (session) navigator.sendBeacon(`v1/live/${session}/end`); });
