// The frame of all pages: what the address names is drawn.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { href, useAddress } from "view/router";
import { held, inFile, renewed } from "view/source";
import { html } from "view/ui";
import { Bench } from "view/bench";
import { Run, TwoRuns } from "view/run";
import { Runs } from "view/runs";
import { Trajectories } from "view/trajectories";
import { Trajectory } from "view/trajectory";

const EVERY = 5000; // milliseconds between two looks for a newer store

function App() {
  const { path: asked, params } = useAddress();
  const path = inFile ? named(asked) : asked;
  const fresh = useRenewals();
  useEffect(() => {
    document.title = [...path.slice(1), "STeCa factory"].join(" · ");
  }, [path.join("/")]);
  return html`<${Head} path=${path} /><main key=${fresh}>${page(path, params)}</main>`;
}

// The only run of a file may be called by its name, or by the first letters of its id.
function named([kind, run, ...rest]) {
  const { run: own, name } = globalThis.STECA;
  return kind === "run" && run && (run === name || own.startsWith(run)) ? [kind, own, ...rest] : [kind, run, ...rest].filter(Boolean);
}

function page([kind, run, part, id], params) {
  if (kind === undefined) return html`<${Runs} />`;
  if (kind !== "run" || !run) return html`<p class="fault">There is no such page. <a href="#/">The list of runs</a></p>`;
  if (part === "bench") return html`<${Bench} run=${run} params=${params} />`;
  if (part === "trajectories") return html`<${Trajectories} run=${run} params=${params} />`;
  if (part === "trajectory") return html`<${Trajectory} key=${id} run=${run} id=${id} params=${params} />`;
  return params.beside ? html`<${TwoRuns} run=${run} other=${params.beside} />` : html`<${Run} run=${run} />`;
}

function Head({ path: [, run, part] }) {
  const tab = (name, text) =>
    html`<a href=${href(["run", run, ...(name ? [name] : [])])} aria-current=${(part || "") === name || (part === "trajectory" && name === "trajectories") ? "page" : undefined}>${text}</a>`;
  return html`<header><a class="home" href="#/">STeCa factory</a>
    ${run && html`<nav><b title=${run}>${run}</b>${tab("", "Run")}${held(`/runs/${run}/bench`) && tab("bench", "Threshold")}${held(`/runs/${run}/list`) && tab("trajectories", "Trajectories")}</nav>`}
    <${Theme} /></header>`;
}

function Theme() {
  const [theme, setTheme] = useState(kept() || "");
  useEffect(() => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // a browser that keeps nothing
    }
  }, [theme]);
  const next = { "": "dark", dark: "light", light: "" }[theme];
  return html`<button class="theme" onClick=${() => setTheme(next)} title="colours: as the system, dark, light">${theme || "auto"} colours</button>`;
}

function kept() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return "";
  }
}

// Counts how often a newer store was published while the page was open.
function useRenewals() {
  const [times, setTimes] = useState(0);
  useEffect(() => {
    if (inFile) return undefined;
    const look = () => document.hidden || renewed().then((changed) => changed && setTimes((n) => n + 1), () => {});
    look();
    const timer = setInterval(look, EVERY);
    return () => clearInterval(timer);
  }, []);
  return times;
}

if (inFile && !location.hash) history.replaceState(null, "", href(["run", globalThis.STECA.run]));
const place = document.getElementById("app");
place.replaceChildren(); // what was shown until the scripts were there
render(html`<${App} />`, place);
