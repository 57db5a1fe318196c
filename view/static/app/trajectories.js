// The list of trajectories, with filters that are kept in the address.
import { useEffect, useState } from "preact/hooks";
import { VERDICTS } from "view/charts";
import { change, href } from "view/router";
import { inFile } from "view/source";
import { Answer, Badge, Table, Text, Verdict, count, decimal, html, signed, useData, useKeys, words } from "view/ui";

export const FILTERS = ["q", "kind", "split", "type", "role", "round", "success", "verdict", "trained", "set", "reward_from", "reward_to", "value_from", "value_to", "order"];
const ORDERS = [["task", "task"], ["gap", "lowest gap first"], ["value", "lowest step reward first"], ["steps", "longest first"], ["reward", "lowest reward first"]];

export function chosen(params) {
  return Object.fromEntries(FILTERS.filter((name) => params[name]).map((name) => [name, params[name]]));
}

export function Trajectories({ run, params }) {
  const facets = useData(`/runs/${run}/facets`);
  const page = Number(params.page || 0);
  const list = useData(`/runs/${run}/trajectories`, { ...chosen(params), page: params.page });
  usePageKeys(list.data, page);
  const part = useData(inFile ? `/runs/${run}/held` : "");
  return html`<h1>Trajectories</h1>${part.data && part.data.held < part.data.total && html`<p class="note">This file holds ${count(part.data.held)} of the run's ${count(part.data.total)} trajectories: first those of deviated turns.</p>`}
    <${Filters} facets=${facets.data || {}} params=${params} />
    <${Answer} of=${list} draw=${(data) => html`<${List} run=${run} data=${data} params=${params} />`} />`;
}

function Filters({ facets, params }) {
  const set = (name) => (event) => change({ [name]: event.target.value, page: "" });
  const pick = (name, values, title = name) => html`<label>${title}<select value=${params[name] || ""} onChange=${set(name)}>
    <option value="">all</option>${values.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  const named = (values) => (values || []).map((value) => [value, words(String(value))]);
  const from = (name) => html`<input type="number" step="0.1" min="0" max="1" placeholder=${name.endsWith("from") ? "from" : "to"} aria-label=${words(name)} value=${params[name] || ""} onChange=${set(name)} />`;
  const asked = Object.keys(chosen(params)).length;
  const wide = matchMedia("(min-width: 761px)").matches;
  return html`<details class="filters-box" open=${wide || undefined}><summary>filters${asked ? ` (${asked})` : ""}</summary><form class="filters" onSubmit=${(event) => event.preventDefault()}>
    <label class="search">search<${Search} value=${params.q || ""} /></label>
    ${pick("kind", named(facets.kinds))}${pick("split", named(facets.splits))}${pick("type", named(facets.types), "task type")}
    ${pick("success", [["true", "won"], ["false", "not won"]])}${pick("verdict", VERDICTS.map((each) => [each, words(each)]))}
    ${pick("role", named(["warmup", "trained"]), "tested policy")}${pick("trained", [["true", "yes"], ["false", "no"]], "trained on")}${pick("set", named(["expert", "calibrated", "expert_suffix", "explored_success"]), "training set")}
    ${(facets.rounds || []).length > 2 && pick("round", named(facets.rounds))}
    <label>reward at the end<span>${from("reward_from")}${from("reward_to")}</span></label>
    <label>lowest step reward<span>${from("value_from")}${from("value_to")}</span></label>
    <label>order<select value=${params.order || "task"} onChange=${set("order")}>${ORDERS.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>
    ${asked > 0 && html`<button type="button" onClick=${() => change(Object.fromEntries([...FILTERS, "page"].map((name) => [name, ""])))}>clear</button>`}
  </form></details>`;
}

function Search({ value }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    const timer = setTimeout(() => text !== value && change({ q: text, page: "" }), 300);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<input type="search" id="search" placeholder="a phrase, or an id" value=${text} onInput=${(event) => setText(event.target.value)} />`;
}

function List({ run, data, params }) {
  const link = (row) => href(["run", run, "trajectory", row.trajectory_id], { ...chosen(params), page: params.page });
  return html`<${Pages} data=${data} /><${Table} rows=${data.rows} empty=${data.total ? "" : "No trajectory passes these filters."} columns=${[
      ["task", (row) => html`<a href=${link(row)}><${Text} text=${row.instruction} shown=${120} /></a>`, "task"],
      ["kind", (row) => html`<${Badge} kind=${row.kind}>${words(row.kind)}<//>${row.role ? ` ${row.role}` : ""}${row.start && row.start !== "beginning" ? `, ${words(row.start)}` : ""}`],
      ["split", (row) => row.split, "minor"],
      ["type", (row) => words(row.task_type), "minor"],
      ["steps", (row) => count(row.n_steps), "number"],
      ["end", (row) => html`<${Badge} kind=${row.success ? "kept" : "rejected"}>${row.success ? "won" : words(row.end_reason)}<//>`],
      ["reward", (row) => decimal(row.outcome), "number minor"],
      ["lowest step reward", (row) => decimal(row.value), "number minor"],
      ["gap", (row) => signed(row.gap), "number"],
      ["verdicts", (row) => row.verdicts.filter((each) => each !== "filtered").map((each) => html`<${Verdict} verdict=${each} /> `)],
      ["weight", (row) => decimal(row.weight, 3), "number minor"],
    ]} /><${Pages} data=${data} />`;
}

function Pages({ data }) {
  const last = Math.max(0, Math.ceil(data.total / data.size) - 1);
  const turn = (page) => {
    change({ page: page || "" });
    scrollTo(0, 0);
  };
  if (!data.total) return null;
  const first = data.page * data.size + 1;
  if (first > data.total) return html`<p class="pages"><span>There are ${count(last + 1)} pages.</span> <button onClick=${() => turn(last)}>the last one</button></p>`;
  return html`<p class="pages"><span>${count(first)} to ${count(Math.min(first + data.size - 1, data.total))} of ${count(data.total)}</span>
    ${last > 0 && html`<button disabled=${!data.page} onClick=${() => turn(data.page - 1)} title="key p">previous</button>
    <button disabled=${data.page >= last} onClick=${() => turn(data.page + 1)} title="key n">next</button>`}</p>`;
}

// n, p: pages; /: search.
function usePageKeys(data, page) {
  useKeys(!data ? {} : {
    "/": () => document.getElementById("search").focus(),
    n: () => (page + 1) * data.size < data.total && change({ page: page + 1 }),
    p: () => page && change({ page: page - 1 || "" }),
  });
}
