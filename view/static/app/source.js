// Where the data comes from: the server's API, or the chunks inside a file that needs no server.
import { select, place } from "view/select";

const index = globalThis.STECA.index; // path -> number of the chunk that holds it; only in a file
const chunks = new Map();
const answers = new Map(); // of the server, by URL: pages that were seen are shown at once
const KEPT = 200;

export const inFile = Boolean(index);

// Whether a path has an answer: a file may hold a part of a run.
export const held = (path) => !inFile || index[path] !== undefined;

// The answer to a path such as "/runs/ID", with query parameters; undefined and "" are left out.
export async function get(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return inFile ? fromFile(path, Object.fromEntries(given)) : fromServer(path, new URLSearchParams(given));
}

export async function post(path, body) {
  const answer = await fetch("/api" + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  answers.clear();
  return read(answer);
}

// Asks the server whether something new was published since the last time.
export async function renewed() {
  if (inFile) return false;
  const { version } = await read(await fetch("/api/version"));
  const changed = renewed.last !== undefined && renewed.last !== version;
  renewed.last = version;
  if (changed) answers.clear();
  return changed;
}

async function fromServer(path, query) {
  const url = "/api" + path + (query.size ? "?" + query : "");
  if (!answers.has(url)) {
    if (answers.size >= KEPT) answers.delete(answers.keys().next().value);
    const asked = fetch(url).then(read);
    answers.set(url, asked);
    asked.catch(() => answers.delete(url));
  }
  return answers.get(url);
}

async function read(answer) {
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const detail = Array.isArray(body.detail) ? body.detail.map((each) => `${each.loc.at(-1)}: ${each.msg}`).join("; ") : "";
  throw new Error(body.error || detail || `the server answered ${answer.status}`);
}

async function fromFile(path, params) {
  const [, run, list, id, beside] = path.match(/^\/runs\/([^/]+)\/(trajectories)(?:\/([^/]+))?(?:\/(neighbours))?$/) || [];
  if (list && !id) return select(await stored(`/runs/${run}/list`), params);
  if (beside) return place(await stored(`/runs/${run}/list`), params, decodeURIComponent(id));
  return stored(params.preset ? `${path}?preset=${params.preset}` : path); // has every threshold
}

async function stored(path) {
  const number = index[path];
  if (number === undefined) throw new Error(`this file does not hold ${path}: open the whole store with \`steca view\``);
  if (!chunks.has(number)) chunks.set(number, unpacked(document.getElementById(`chunk-${number}`).textContent));
  return (await chunks.get(number))[path];
}

async function unpacked(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}
