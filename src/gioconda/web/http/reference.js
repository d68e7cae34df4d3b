// Adds a form to each request of the reference: it fills in fields, sends the request and shows the answer.
"use strict";

const LONG_TEXT = 200; // characters from which a text gets several lines
const EVENTS_SHOWN = 20000; // characters of a stream that stay on the page

/** An element with properties and children. Texts are never parsed as HTML. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A schema without references. */
function resolved(schema) {
  if (!schema?.$ref) return schema ?? {};
  return resolved(schema.$ref.slice(2).split("/").reduce((part, name) => part[name], api));
}

/** The types that a value may have besides null. */
function branches(schema) {
  const all = schema.anyOf ?? schema.oneOf ?? [schema];
  return all.map(resolved).filter((branch) => branch.type !== "null");
}

const isFile = (schema) => schema.format === "binary";
const isFiles = (schema) => schema.type === "array" && isFile(schema.items ?? {});

let count = 0;

/** A control with its label; `read` returns its value, undefined where it is left empty. */
function field(name, schema, { required = false, value, description } = {}) {
  const types = branches(resolved(schema));
  const [control, read] = controlOf(types, schema.default);
  const id = `field-${++count}`;
  Object.assign(control, { id, required: required && control.type !== "file" });
  if (value !== undefined) control.value = typeof value === "object" ? JSON.stringify(value) : String(value);
  const told = description ?? schema.description ?? "";
  const hint = element("small", { id: `${id}-hint`, textContent: told });
  control.setAttribute("aria-describedby", hint.id);
  const label = element("label", { htmlFor: id, textContent: required ? `${name} (required)` : name });
  return { name, control, row: element("div", { className: "field" }, label, control, hint), read };
}

/** The control for values of some types, and the function that reads it. */
function controlOf(types, standard) {
  const [first] = types;
  const choices = types.length === 1 && (first.enum ?? (first.type === "boolean" ? [true, false] : null));
  if (choices) return selection(choices, standard);
  if (isFile(first) || isFiles(first)) {
    const control = element("input", { type: "file", multiple: isFiles(first) });
    return [control, () => (control.files.length ? [...control.files] : undefined)];
  }
  const empty = standard === undefined || standard === null ? "" : JSON.stringify(standard);
  if (types.length === 1 && (first.type === "number" || first.type === "integer")) {
    const control = element("input", { type: "number", step: first.type === "integer" ? 1 : "any" });
    control.min = first.minimum ?? "";
    control.max = first.maximum ?? "";
    control.placeholder = empty;
    return [control, () => (control.value === "" ? undefined : Number(control.value))];
  }
  const text = types.every((type) => type.type === "string");
  const long = !text || (first.maxLength ?? 0) > LONG_TEXT;
  const control = element(long && types.length === 1 ? "textarea" : "input", { placeholder: text ? (standard ?? "") : empty });
  control.spellcheck = false;
  return [control, () => (control.value === "" ? undefined : text ? control.value : parsed(control.value))];
}

/** A choice between values, of which none is chosen at first. */
function selection(choices, standard) {
  const control = element("select");
  const unset = standard === undefined || standard === null ? "" : `(${standard})`;
  control.append(element("option", { value: "", textContent: unset }));
  for (const choice of choices) control.append(element("option", { value: String(choice), textContent: choice }));
  return [control, () => choices.find((choice) => control.value !== "" && String(choice) === control.value)];
}

/** A value in JSON, or the text itself where it is none. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The fields of a JSON object in their order, the required ones first. */
function objectFields(schema, example) {
  const required = new Set(schema.required ?? []);
  const names = Object.keys(schema.properties ?? {}).filter((name) => !("const" in schema.properties[name]));
  const fields = names
    .sort((a, b) => required.has(b) - required.has(a))
    // Only the user can say what entitles to a likeness.
    .map((name) => field(name, schema.properties[name], {
      required: required.has(name),
      value: name === "rights" ? undefined : example[name],
    }));
  const fixed = Object.entries(schema.properties ?? {}).filter(([, property]) => "const" in property);
  return {
    fields,
    read: () => {
      const values = Object.fromEntries(fixed.map(([name, property]) => [name, property.const]));
      for (const { name, read } of fields) if (read() !== undefined) values[name] = read();
      return values;
    },
  };
}

/** The part of a body that is a JSON object; where it has kinds, a choice of the kind comes first. */
function jsonPart(schema, whenKindChanges) {
  const whole = resolved(schema);
  const box = element("div");
  const mapping = whole.discriminator?.mapping;
  let part = null;
  const show = (chosen) => {
    const of = resolved(chosen);
    part = objectFields(of, of.examples?.[0] ?? {});
    box.replaceChildren(...part.fields.map(({ row }) => row));
  };
  if (!mapping) {
    show(whole);
    return { rows: [box], read: () => part.read() };
  }
  const order = whole.oneOf.map((branch) => branch.$ref);
  const kinds = Object.keys(mapping).sort((a, b) => order.indexOf(mapping[a]) - order.indexOf(mapping[b]));
  const kind = field(whole.discriminator.propertyName, { enum: kinds });
  kind.control.remove(0);
  const choose = () => {
    show({ $ref: mapping[kind.control.value] });
    whenKindChanges(kind.control.value);
  };
  kind.control.addEventListener("change", choose);
  // Fields for files are made after this part.
  queueMicrotask(choose);
  return { rows: [kind.row, box], read: () => part.read() };
}

/** The fields of a request's body, and a function that returns what to send and how curl would. */
function bodyOf(operation) {
  const content = operation.requestBody?.content ?? {};
  if (content["multipart/form-data"]) return multipart(resolved(content["multipart/form-data"].schema));
  if (content["application/json"]) {
    const part = jsonPart(content["application/json"].schema, () => {});
    return { rows: part.rows, read: () => jsonBody(part.read()) };
  }
  return { rows: [], read: () => ({ body: undefined, headers: {}, curl: [] }) };
}

function jsonBody(value) {
  const body = JSON.stringify(value);
  const headers = { "Content-Type": "application/json" };
  return { body, headers, curl: ["-H", "Content-Type: application/json", "-d", body] };
}

function multipart(schema) {
  const files = [];
  const jsons = [];
  const rows = [];
  const kindChosen = (kind) => {
    for (const { row, kinds } of files) row.hidden = Boolean(kinds) && !kinds.includes(kind);
  };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const whole = resolved(property);
    if (isFile(whole) || isFiles(whole)) {
      const made = { ...field(name, whole), kinds: whole["x-kinds"] };
      files.push(made);
      rows.push(made.row);
    } else {
      const part = jsonPart(property, kindChosen);
      jsons.push([name, part]);
      rows.push(...part.rows);
    }
  }
  const read = () => {
    const body = new FormData();
    const curl = [];
    for (const [name, part] of jsons) {
      const json = JSON.stringify(part.read());
      body.append(name, json);
      curl.push("-F", `${name}=${json}`);
    }
    for (const { name, row, read: chosen } of files) {
      for (const file of row.hidden ? [] : (chosen() ?? [])) {
        body.append(name, file);
        curl.push("-F", `${name}=@${file.name}`);
      }
    }
    return { body, headers: {}, curl };
  };
  return { rows, read };
}

/** The request that the fields describe. */
function requestOf(path, method, operation, parameters, body) {
  let address = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { name, place, read } of parameters) {
    const value = read();
    if (value === undefined) continue;
    if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
    if (place === "query") query.set(name, value);
    if (place === "header") headers[name] = value;
  }
  const { body: sent, headers: more, curl } = body.read();
  // Relative to this page, which a proxy may serve under a prefix.
  const url = new URL(`.${address}${query.size ? `?${query}` : ""}`, location.href);
  const words = ["curl", ...(method === "GET" ? [] : ["-X", method])];
  for (const [name, value] of Object.entries(headers)) words.push("-H", `${name}: ${value}`);
  const token = operation.security ? ' -H "Authorization: Bearer $GIOCONDA_TOKEN"' : "";
  const command = [...words, ...curl, url.href].map(quoted).join(" ");
  return { url, init: { method, headers: { ...headers, ...more }, body: sent }, curl: command.replace("curl", `curl${token}`) };
}

/** A word for a shell. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Shows an answer: text as it is, JSON with indents, media playing, a stream as it comes. */
async function show(answer, place) {
  const type = answer.headers.get("content-type") ?? "";
  const status = element("p", { className: "status", textContent: `${answer.status} ${type}` });
  for (const name of ["location", "retry-after"]) {
    if (answer.headers.has(name)) status.append(`, ${name}: ${answer.headers.get(name)}`);
  }
  place.replaceChildren(status);
  if (type.startsWith("text/event-stream")) return stream(answer, place);
  if (type.startsWith("application/json")) {
    const value = await answer.json();
    place.append(element("pre", { textContent: JSON.stringify(value, null, 2) }));
    return value;
  }
  if (type.startsWith("text/")) return void place.append(element("pre", { textContent: await answer.text() }));
  const blob = await answer.blob();
  if (!blob.size) return undefined;
  const src = URL.createObjectURL(blob);
  const tag = { image: "img", video: "video", audio: "audio" }[type.split("/")[0]];
  if (tag) place.append(element(tag, { src, controls: true, alt: "The answer" }));
  const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "answer";
  place.append(element("p", {}, element("a", { href: src, download: name, textContent: `Save ${name}` })));
  return undefined;
}

async function stream(answer, place) {
  const shown = element("pre");
  place.append(shown);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    shown.textContent = (shown.textContent + piece.value).slice(-EVENTS_SHOWN);
  }
}

/** Puts the id of what a request has made into the fields of the requests that take it. */
function fillIn(path, id) {
  for (const { path: other, parameters } of forms) {
    const found = parameters.find(({ name, place }) => place === "path" && other.startsWith(`${path}/{${name}}`));
    if (found) found.control.value = id;
  }
}

const forms = [];

/** Adds the form of one request to its section. */
function addForm(section) {
  const { path, method } = section.dataset;
  const operation = api.paths[path][method];
  const parameters = (operation.parameters ?? []).map((parameter) => ({
    ...field(parameter.name, parameter.schema, { ...parameter, value: undefined }),
    place: parameter.in,
  }));
  const body = bodyOf(operation);
  const send = element("button", { type: "submit", textContent: "Send" });
  const stop = element("button", { type: "button", textContent: "Stop", hidden: true });
  const command = element("pre", { className: "curl" });
  const place = element("div", { className: "answer" });
  place.setAttribute("role", "status");
  const rows = [...parameters.map(({ row }) => row), ...body.rows];
  const form = element("form", {}, ...rows, element("p", {}, send, " ", stop), command, place);
  const describe = () => requestOf(path, method.toUpperCase(), operation, parameters, body);
  let ending = new AbortController();
  stop.addEventListener("click", () => ending.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { url, init, curl } = describe();
    command.textContent = curl;
    ending = new AbortController();
    [send.disabled, stop.hidden] = [true, false];
    place.textContent = "Sending …";
    try {
      const answer = await fetch(url, { ...init, signal: ending.signal, cache: "no-store" });
      const value = await show(answer, place);
      if (answer.ok && method === "post" && typeof value?.id === "string") fillIn(path, value.id);
    } catch (error) {
      place.append(element("p", { textContent: ending.signal.aborted ? "Stopped." : `No answer: ${error.message}` }));
    } finally {
      [send.disabled, stop.hidden] = [false, true];
    }
  });
  const summary = element("summary", { textContent: "Try it" });
  summary.setAttribute("aria-label", `Try ${method.toUpperCase()} ${path}`);
  section.append(element("details", {}, summary, form));
  forms.push({ path, parameters });
}

let api = null;
fetch("openapi.json")
  .then((answer) => answer.json())
  .then((document_) => {
    api = document_;
    document.querySelectorAll("section[data-path]").forEach(addForm);
  });
