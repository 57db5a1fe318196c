// The list of runs.
import { href, go } from "view/router";
import { Answer, Badge, Interval, Section, Table, decimal, html, percent, useData } from "view/ui";

export function Runs() {
  const runs = useData("/runs");
  return html`<${Section} title="Runs"><${Answer} of=${runs} draw=${(rows) => html`<${List} rows=${rows} />`} /><//>`;
}

function List({ rows }) {
  return html`<${Table} rows=${rows} empty="no runs yet: steca run" columns=${[
    ["run", (row) => html`<a href=${href(["run", row.run_id])}>${row.run_id}</a>${arms(row)}`],
    ["created", (row) => row.created_at.slice(0, 16).replace("T", " "), "minor"],
    ["status", (row) => html`<${Badge} kind=${row.status}>${row.status}<//>${row.status === "completed" ? "" : ` ${row.stages_done}/${row.stages}`}`],
    ["world", (row) => row.world, "minor"],
    ["rule", (row) => row.preset, "minor"],
    ["seed", (row) => row.seed, "number minor"],
    ["success of the last policy", (row) => html`<${Success} tested=${row.success} />`],
  ]} />
  ${rows.length > 1 && html`<${Beside} rows=${rows} />`}`;
}

function arms(row) {
  return (row.arms || []).map((each) => html`<small class="note"> ${each.comparison}: ${each.arm}</small>`);
}

function Success({ tested }) {
  const splits = [...new Set(tested.map((row) => row.split))];
  return splits.map((split) => {
    const of = tested.filter((row) => row.split === split);
    const last = of.filter((row) => row.role === "trained").at(-1) || of[0];
    const label = `${split}: ${percent(last.rate)}, 95 % interval ${decimal(last.low)} to ${decimal(last.high)}, ${last.n} tasks, ${last.role}`;
    return html`<div class="rate" key=${split}><span>${split}</span><${Interval} value=${last.rate} low=${last.low} high=${last.high} label=${label} /><b>${percent(last.rate)}</b></div>`;
  });
}

function Beside({ rows }) {
  const choice = rows.map((row) => html`<option>${row.run_id}</option>`);
  const open = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    go(["run", form.get("one")], { beside: form.get("other") });
  };
  return html`<form class="line" onSubmit=${open}>
    Compare <select name="one" aria-label="run">${choice}</select> with
    <select name="other" aria-label="other run">${rows.map((row, at) => html`<option selected=${at === 1}>${row.run_id}</option>`)}</select>
    <button>side by side</button></form>`;
}
