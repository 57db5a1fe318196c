// Small parts that all pages are made of. Preact puts every text into the page as text, never as HTML.
import { h } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import htm from "htm";
import { href } from "view/router";
import { get, held } from "view/source";

export const html = htm.bind(h);

const SHOWN = 4000; // characters of a text, before one has to ask for the rest
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// A text that anybody may have written. Characters that cannot be seen, or that change the direction of others, are
// shown by their names.
export function Text({ text, shown = SHOWN }) {
  const [all, setAll] = useState(false);
  if (text === null || text === undefined) return null;
  const part = all ? text : text.slice(0, shown);
  return html`<span class="text">${visible(part)}${part.length < text.length && html`
    <button class="link" onClick=${() => setAll(true)}>... ${count(text.length - part.length)} more characters</button>`}</span>`;
}

function visible(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (found.index > from) parts.push(text.slice(from, found.index));
    const code = found[0].codePointAt(0);
    const name = code === 27 ? "ESC" : "U+" + code.toString(16).toUpperCase().padStart(4, "0");
    parts.push(html`<span class="control" title="a character that cannot be seen">${name}</span>`);
    from = found.index + found[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

export const percent = (share, digits = 1) => (share === null || share === undefined ? "" : (100 * share).toFixed(digits) + " %");
export const decimal = (value, digits = 2) =>
  value === null || value === undefined ? "" : value.toFixed(digits).replace(/^(-?)0\./, "$1.").replace("-", "−");
export const signed = (value, digits = 2) => (value === null || value === undefined ? "" : (value < 0 ? "−" : "+") + decimal(Math.abs(value), digits));
export const count = (value) => (value === null || value === undefined ? "" : Math.round(value).toLocaleString("en"));
export const words = (name) => (name || "").replaceAll("_", " ");
export const short = (id) => (id || "").slice(0, 10);

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 60) return value.toFixed(1) + " s";
  return value < 3600 ? (value / 60).toFixed(1) + " min" : (value / 3600).toFixed(1) + " h";
}

// Calls an action by the key that is pressed, but where something is written or chosen. The keys change with what is
// shown, not after it: one that is pressed at once means what is seen.
export function useKeys(actions) {
  useLayoutEffect(() => onKeys(actions));
}

function onKeys(actions) {
  const pressed = (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.matches("button, a, summary")) return;
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

// Asks for data and draws it: waiting, fault, or what `draw` makes of the answer.
export function useData(path, params = {}) {
  const [state, setState] = useState({});
  const key = path + JSON.stringify(params);
  useEffect(() => {
    if (!path) return undefined;
    let current = true;
    get(path, params).then(
      (data) => current && setState({ data, key }),
      (fault) => current && setState({ fault, key }),
    );
    return () => {
      current = false;
    };
  }, [key]);
  return { ...state, stale: state.key !== key };
}

export function Answer({ of, draw }) {
  if (of.fault && !of.stale) return html`<p class="fault" role="alert">${of.fault.message}</p>`;
  if (!of.data) return html`<p class="waiting">Reading the store ...</p>`;
  return html`<div class=${of.stale ? "stale" : ""}>${draw(of.data)}</div>`;
}

// columns: [heading, row => cell, "number" | ""]
export function Table({ columns, rows, caption, empty = "nothing", mark }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`<div class="scroll"><table>
    ${caption && html`<caption>${caption}</caption>`}
    <thead><tr>${columns.map(([name, , kind]) => html`<th class=${kind}>${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr class=${mark ? mark(row) : ""}>${columns.map(([, cell, kind]) => html`<td class=${kind}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

// A link to a trajectory; its text alone where a file does not hold it.
export function ToTrajectory({ run, id, params, children }) {
  if (!held(`/runs/${run}/trajectories/${id}`)) return html`<span>${children}</span>`;
  return html`<a href=${href(["run", run, "trajectory", id], params)}>${children}</a>`;
}

// A link to the list of trajectories with filters; its text alone where a file has no list.
export function ToList({ run, params, kind = "", children }) {
  if (!held(`/runs/${run}/list`)) return html`<span>${children}</span>`;
  return html`<a class=${kind} href=${href(["run", run, "trajectories"], params)}>${children}</a>`;
}

export function Badge({ kind, children }) {
  return html`<span class=${"badge " + (kind || "")}>${children}</span>`;
}

export function Verdict({ verdict }) {
  return verdict ? html`<${Badge} kind=${verdict}>${words(verdict)}<//>` : null;
}

// A share in [0, 1] as a point with its interval.
export function Interval({ value, low, high, kind = "", label }) {
  if (value === null || value === undefined) return null;
  const left = 100 * (low ?? value), width = Math.max(100 * (high ?? value) - left, 0.5);
  return html`<span class=${"interval " + kind} role="img" aria-label=${label} title=${label}>
    <span class="band" style=${{ left: left + "%", width: width + "%" }}></span>
    <span class="point" style=${{ left: 100 * value + "%" }}></span>
  </span>`;
}

export function Section({ title, kind, note, children }) {
  return html`<section class=${kind}><h2>${title}</h2>${note && html`<p class="note">${note}</p>`}${children}</section>`;
}
