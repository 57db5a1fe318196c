// The threshold bench: the verdicts and the training set at another threshold or rule, at once.
import { useEffect, useState } from "preact/hooks";
import { change } from "view/router";
import { Chart, VERDICTS, colour } from "view/charts";
import { Answer, Section, Table, Text, ToTrajectory, count, decimal, html, signed, useData, words } from "view/ui";

const LISTED = 40;

export function Bench({ run, params }) {
  const path = `/runs/${run}/bench`;
  const first = useData(path, { preset: params.preset, delta: useState(params.delta)[0] });
  const whole = useData(first.data?.partial ? path : "", { preset: params.preset, whole: true });
  const bench = first.data?.partial && whole.data && !whole.stale ? whole : first;
  return html`<h1>Threshold</h1><p class="note">The stored rollouts decide again; nothing is played.${" "}<code>steca what-if</code> gives the same figures.</p>
    <${Answer} of=${bench} draw=${(data) => html`<${Board} run=${run} data=${data} params=${params} />`} />`;
}

function Board({ run, data, params }) {
  const given = Number(params.delta ?? data.own.delta);
  const wanted = Number.isFinite(given) ? given : data.own.delta;
  const [at, setAt] = useState(nearest(data.deltas, wanted));
  useEffect(() => setAt(nearest(data.deltas, wanted)), [wanted, data]);
  useEffect(() => {
    const chosen = data.deltas[at];
    if (data.partial || chosen === undefined || nearest(data.deltas, wanted) === at) return undefined;
    const timer = setTimeout(() => change({ delta: chosen === data.own.delta ? "" : chosen }), 200);
    return () => clearTimeout(timer);
  }, [at]);
  const rule = data.presets.find((each) => each.preset === data.preset);
  const counts = data.counts[at] ?? data.counts[0];
  const entering = data.moving.filter((row) => !row.selected && row.at[at] === "1");
  const leaving = data.moving.filter((row) => row.selected && row.at[at] === "0");
  return html`<div class="controls">
      <label>rule <select value=${data.preset} onChange=${(event) => change({ preset: event.target.value })}>
        ${data.presets.map((each) => html`<option value=${each.preset}>${words(each.preset)}${each.preset === data.own.preset ? " (the run's)" : ""}</option>`)}</select></label>
      <label class="slide">threshold δ <output>${rule.by_delta ? signed(data.deltas[at]) : "none"}</output>
        <input type="range" min="0" max=${data.deltas.length - 1} value=${at} disabled=${!rule.by_delta || data.partial} aria-label="threshold" onInput=${(event) => setAt(Number(event.target.value))} /></label>
      <button onClick=${() => setAt(nearest(data.deltas, data.own.delta))}>the run's ${signed(data.own.delta)}</button>
    </div>
    ${data.mode === "curtailed" && html`<p class="note">The rollouts of this run are curtailed: a turn has those that its own rule needed. Where another rule or threshold needs more, a turn is undecided. <code>rewards.mode=fixed</code> stores the rollouts for every rule.</p>`}
    ${data.partial && html`<p class="note">The other thresholds are being computed ...</p>`}
    ${!rule.by_delta && html`<p class="note">This rule compares no rewards, so a threshold means nothing to it.</p>`}
    ${!data.partial && html`<${Histogram} data=${data} at=${at} />`}
    <div class="cards">${[
      [counts.deviated, "deviated"], [counts.not_deviated, "not deviated"], [counts.undecided, "undecided"],
      [counts.filtered, "filtered"], [counts.no_rollouts, "without rollouts"],
    ].map(([value, name]) => html`<div><b>${count(value)}</b><span>${name}</span></div>`)}</div>
    <${Section} title="Training set">
      <${Table} rows=${parts(counts, data.suffixes)} columns=${[
        ["what", (row) => row.what],
        ["stay", (row) => count(row.stay), "number"],
        ["leave", (row) => count(row.leave), "number"],
        ["enter", (row) => row.enter, "number"],
      ]} />
      <p class="note">The D_c examples that leave weigh ${decimal(counts.weight_leaves)} of ${decimal(counts.weight)}.
        A deviation that enters has no repair yet: the stage calibrate has to make it. D_c: repaired trajectories, trained on from the repair on. D_s: what the expert does from the deviated turn on.</p><//>
    <div class="two"><${Moving} run=${run} title="Enter" rows=${entering} shown=${data} /><${Moving} run=${run} title="Leave" rows=${leaving} shown=${data} /></div>
    <p class="note">The same in the terminal: <code>steca what-if --run ${run} --preset ${data.preset}${rule.by_delta ? ` --delta ${data.deltas[at]}` : ""}</code></p>`;
}

function nearest(deltas, wanted) {
  return deltas.reduce((best, delta, at) => (Math.abs(delta - wanted) < Math.abs(deltas[best] - wanted) ? at : best), 0);
}

function parts(counts, suffixes) {
  return [
    { what: "deviations to repair", stay: counts.stay, leave: counts.leave, enter: count(counts.enter) },
    { what: "D_c examples", stay: counts.examples - counts.examples_leave, leave: counts.examples_leave, enter: counts.enter ? `at most ${count(counts.enter)}` : "0" },
    { what: "D_s examples (from these comparisons)", stay: suffixes.stay, leave: suffixes.leave, enter: count(suffixes.enter) },
  ];
}

function Histogram({ data, at }) {
  const rows = data.deltas.flatMap((delta, place) => VERDICTS.map((verdict) => ({ delta, verdict, n: data.counts[place][verdict] })));
  return html`<${Chart} keys=${[at, data.preset]} label="verdicts at each threshold" options=${(Plot) => ({
    height: 240,
    x: { label: "threshold δ" },
    y: { label: "comparisons", grid: true },
    color: { domain: VERDICTS, range: VERDICTS.map(colour), legend: true, tickFormat: words },
    marks: [
      Plot.areaY(rows, { x: "delta", y: "n", fill: "verdict", order: VERDICTS, curve: "step" }),
      Plot.ruleX([data.own.delta], { stroke: colour("text"), strokeDasharray: "2 3" }),
      Plot.ruleX([data.deltas[at]], { stroke: colour("text"), strokeWidth: 2.5 }),
      Plot.text([data.deltas[at]], { x: (x) => x, text: (x) => signed(x), frameAnchor: "top", dy: -8, dx: 4, textAnchor: "start", fill: colour("text"), fontWeight: "bold" }),
    ],
  })} /><${Gaps} data=${data} at=${at} />`;
}

// The gaps of what may be selected, each at its place, coloured by whether it is in now.
function Gaps({ data, at }) {
  const rows = data.moving.filter((row) => row.gap !== null).map((row) => ({
    gap: row.gap,
    state: row.selected ? (row.at[at] === "1" ? "stays" : "leaves") : row.at[at] === "1" ? "enters" : "out",
  }));
  const states = ["stays", "enters", "leaves", "out"];
  return html`${data.moving.length >= data.shown && html`<p class="note">Below: of the turns that may be repaired, the ${count(data.shown)} with the lowest gaps.</p>`}<${Chart} keys=${[at, data.preset]} label="gaps of the turns that may be selected" options=${(Plot) => ({
    height: 200,
    x: { label: "gap", domain: [-1, 1] },
    y: { label: "turns that may be repaired", grid: true },
    color: { domain: states, range: [colour("deviated"), colour("kept"), colour("accent"), colour("filtered")], legend: true },
    marks: [
      Plot.rectY(rows, Plot.binX({ y: "count" }, { x: "gap", fill: "state", order: states, thresholds: data.deltas, tip: true })),
      Plot.ruleX([data.deltas[at]], { stroke: colour("text"), strokeWidth: 2.5 }),
      Plot.ruleY([0]),
    ],
  })} />`;
}

function Moving({ run, title, rows, shown }) {
  const more = rows.length - LISTED;
  return html`<${Section} title=${`${title} (${count(rows.length)})`}>
    ${shown.moving.length >= shown.shown && html`<p class="note">Of the ${count(shown.shown)} with the lowest gaps.</p>`}
    <${Table} rows=${rows.slice(0, LISTED)} empty="none" columns=${[
      ["turn", (row) => html`<${ToTrajectory} run=${run} id=${row.trajectory_id} params=${{ turn: row.step_index }}>step ${row.step_index}<//>, <${Text} text=${row.instruction} shown=${80} />`],
      ["expert", (row) => html`<${Text} text=${row.expert_action} shown=${60} />`],
      ["explored", (row) => html`<${Text} text=${row.explored_action} shown=${60} />`],
      ["rewards", (row) => `${decimal(row.reference_reward)} → ${decimal(row.explored_reward)}`],
      ["gap", (row) => signed(row.gap), "number"],
    ]} />${more > 0 && html`<p class="note">and ${count(more)} more</p>`}<//>`;
}
