// The tab Edit. Sliders -> a look -> one picture of it: the latest look wins, one request is under way at a time.
const POSE = ["yaw", "pitch", "roll", "gaze_x", "gaze_y"];
const find = (selector) => element.querySelector(selector);
const editor = find(".editor"), canvas = find("canvas"), told = find(".told");
const context = canvas.getContext("2d");
const ranges = [...element.querySelectorAll("input[type=range]")];
const values = new Map(); // of every name that is not 0
let session = "", busy = false, wanted = null, keys = [], playing = 0, telling = 0;

const say = (words) => { told.textContent = words; };

function look() {
  const coefficients = {}, found = {};
  for (const name of POSE) found[name] = values.get(name) || 0;
  for (const [name, value] of values) if (!POSE.includes(name) && value) coefficients[name] = value;
  return { ...found, coefficients };
}

function ask(path, body) {
  wanted = { path, body, asked: performance.now() };
  pump();
}

async function pump() {
  if (busy || !wanted || !session) return;
  const { path, body, asked } = wanted;
  wanted = null;
  busy = true;
  try {
    const answer = await fetch(`v1/live/${session}/${path}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (answer.ok) await draw(await answer.blob(), asked);
    else await refused(answer);
  } catch (error) {
    say("The server does not answer.");
  } finally {
    busy = false;
  }
  if (wanted) pump();
}

async function draw(blob, asked) {
  const picture = await createImageBitmap(blob);
  if (canvas.width !== picture.width) canvas.width = canvas.height = picture.width;
  context.drawImage(picture, 0, 0);
  picture.close();
  element.dispatchEvent(new CustomEvent("drawn", { detail: { asked }, bubbles: true }));
}

async function refused(answer) {
  if (answer.status === 429) return;
  if (answer.status === 404 && session) { // let go in the meantime: set up anew, the sliders stay
    session = "";
    say("Setting the portrait up again.");
    trigger("restart");
    return;
  }
  const problem = await answer.json().catch(() => ({}));
  say(problem.error || "The server refuses this.");
}

// what Python is told for the signed picture; not at every step of a slider
function tell() {
  clearTimeout(telling);
  telling = setTimeout(() => { props.value = { session, look: look() }; }, 150);
}

function place(names) {
  for (const range of ranges) {
    const own = range.dataset.names.split(" ");
    if (names && !own.some((name) => names.includes(name))) continue;
    const value = own.map((name) => values.get(name) || 0).reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    range.value = value;
    if (Number(range.value) === value && range.dataset.placed === String(value)) continue;
    range.dataset.placed = value;
    const shown = range.dataset.unit ? `${value}${range.dataset.unit}` : `${Math.round(value * 100)}`;
    range.nextElementSibling.textContent = shown;
    range.setAttribute("aria-valuetext", range.dataset.unit ? `${value} degrees` : `${Math.round(value * 100)} percent`);
  }
}

function show() {
  stop();
  tell();
  ask("look", look());
}

function set(changes) {
  for (const [name, value] of Object.entries(changes)) value ? values.set(name, value) : values.delete(name);
}

element.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const names = event.target.dataset.names.split(" ");
  set(Object.fromEntries(names.map((name) => [name, Number(event.target.value)])));
  show();
  place(names);
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.preset) {
    for (const name of [...values.keys()]) if (!POSE.includes(name)) values.delete(name);
    set(JSON.parse(button.dataset.preset));
  } else if (button.classList.contains("reset")) values.clear();
  else if (button.dataset.show) recall(keys[button.dataset.show]);
  else if (button.dataset.drop) { keys.splice(button.dataset.drop, 1); list(); return; }
  else if (button.classList.contains("add")) { add(); return; }
  else if (button.classList.contains("play")) { playing ? stop() : play(); return; }
  else if (button.classList.contains("save")) { save(); return; }
  place();
  show();
});

function recall(key) {
  values.clear();
  set(key.coefficients);
  set(Object.fromEntries(POSE.map((name) => [name, key[name]])));
}

function add() {
  const field = find("#edit-key-time"), time = Math.round(Number(field.value) * 100) / 100;
  if (!(time >= 0.1 && time <= Number(field.max))) return say(`Choose a second from 0.1 to ${field.max}.`);
  keys = keys.filter((key) => Math.abs(key.time - time) >= 0.04).concat({ time, ...look() });
  keys.sort((a, b) => a.time - b.time);
  if (keys.length > Number(find("tbody").dataset.most)) { keys.pop(); say("These are as many keyframes as fit."); }
  field.value = Math.min(Number(field.max), Math.round((keys[keys.length - 1].time + 1) * 10) / 10);
  list();
  say(`Keyframe at ${time} s.`);
}

function summary(key) {
  const pose = POSE.filter((name) => key[name]).map((name) => `${name.replace("_", " ")} ${key[name]}`);
  const names = Object.entries(key.coefficients).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const shown = [...pose, ...names];
  return shown.length ? shown.slice(0, 3).join(", ") + (shown.length > 3 ? `, ${shown.length - 3} more` : "") : "at rest";
}

function cell(row, text) {
  const made = row.insertCell();
  made.textContent = text;
  return made;
}

function list() {
  const body = find("tbody");
  body.replaceChildren();
  keys.forEach((key, index) => {
    const row = body.insertRow();
    cell(row, key.time);
    cell(row, summary(key));
    const actions = cell(row, "");
    for (const [word, kind] of [["Show", "show"], ["Delete", "drop"]]) {
      const button = actions.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = word;
      button.dataset[kind] = String(index);
      button.setAttribute("aria-label", `${word} the keyframe at ${key.time} seconds`);
    }
  });
  find("table").hidden = !keys.length;
  find(".play").disabled = find(".save").disabled = !keys.length;
}

function play() {
  const began = performance.now(), end = keys[keys.length - 1].time, run = ++playing;
  find(".play").textContent = "Stop";
  say("Playing.");
  const step = () => {
    if (playing !== run) return;
    const at = Math.min(end, (performance.now() - began) / 1000);
    if (!busy) ask("play", { keys, at });
    if (at < end) requestAnimationFrame(step);
    else { stop(); say("Played."); }
  };
  step();
}

function stop() {
  if (!playing) return;
  playing = 0;
  find(".play").textContent = "Play";
}

async function save() {
  const answer = await fetch("v1/live/motion", { method: "POST", body: JSON.stringify({ keys }) }).catch(() => null);
  if (!answer) return say("The server does not answer.");
  if (!answer.ok) return refused(answer);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = "keyframes.npz";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say("Saved as keyframes.npz: give it to Animate as the motion.");
}

// Gradio hides what overflows, which would keep the picture from staying in sight
element.closest(".gradio-container")?.style.setProperty("overflow", "clip");

watch("value", () => {
  const value = props.value;
  if (!value || value.session === session) return;
  session = value.session || "";
  editor.hidden = !session;
  if (session) { say(""); show(); }
});

window.addEventListener("pagehide", () => { if (session) navigator.sendBeacon(`v1/live/${session}/end`); });
place();
