// The rollouts from a scored turn, as a tree: those that begin with the same actions share a branch.
import { useState } from "preact/hooks";
import { Answer, Badge, Text, count, decimal, html, useData, words } from "view/ui";

export function Rollouts({ id, n, compact }) {
  const [open, setOpen] = useState(false);
  const found = useData(open ? `/rollouts/${id}` : "");
  const toggle = (event) => {
    event.stopPropagation();
    setOpen(!open);
  };
  return html`<div class="rollouts"><button class="link rollouts-button" aria-expanded=${open} onClick=${toggle}>${open ? "hide" : "show"} ${count(n)} rollout${n === 1 ? "" : "s"}</button>
    ${open && html`<div onClick=${(event) => event.stopPropagation()}><${Answer} of=${found} draw=${(rows) => html`<${Branch} rows=${rows} depth=${0} compact=${compact} />`} /></div>`}</div>`;
}

// The rollouts that share their first `depth` actions. What all of them do next is one line.
function Branch({ rows, depth }) {
  const groups = new Map();
  for (const row of rows) {
    const action = row.actions[depth];
    if (!groups.has(action)) groups.set(action, []);
    groups.get(action).push(row);
  }
  return html`<ul class="tree">${[...groups].sort((a, b) => b[1].length - a[1].length).map(([action, group]) =>
    group.length === 1 || action === undefined
      ? group.map((row) => html`<li key=${row.rollout_id}><${Rollout} row=${row} from=${depth} /></li>`)
      : html`<li key=${action}><${Shared} rows=${group} depth=${depth} /></li>`)}</ul>`;
}

function Shared({ rows, depth }) {
  let end = depth;
  while (rows.every((row) => row.actions.length > end && row.actions[end] === rows[0].actions[end])) end += 1;
  const won = rows.filter((row) => row.outcome >= 1).length;
  return html`<details open=${depth < 3}><summary><b class=${won ? "wins" : "lost"}>${won}/${rows.length}</b> <${Text} text=${rows[0].actions.slice(depth, end).join(" → ")} shown=${600} /></summary>
    <${Branch} rows=${rows} depth=${end} /></details>`;
}

function Rollout({ row, from }) {
  const won = row.outcome >= 1;
  return html`<details><summary><${Badge} kind=${won ? "kept" : "rejected"}>${won ? "won" : words(row.end_reason)}<//> <${Text} text=${row.actions.slice(from).join(" → ") || "no further action"} shown=${300} /></summary>
    <p class="note">rollout ${row.sample_index}: reward ${decimal(row.outcome)}${row.progress === null ? "" : `, progress ${decimal(row.progress)}`}, ${count(row.n_steps)} steps, ${count(row.tokens)} tokens, seed ${row.seed}, temperature ${row.temperature}, policy <code>${row.checkpoint.slice(0, 10)}</code>, <code>${row.rollout_id}</code></p>
    ${row.first_turn && html`<p class="thought"><${Text} text=${row.first_turn} /></p>`}
    <ol start="1" class="actions">${row.actions.map((action) => html`<li><${Text} text=${action} /></li>`)}</ol></details>`;
}
