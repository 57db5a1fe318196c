// The page of a run, and two of them side by side.
import { href } from "view/router";
import { Chart, VERDICTS, colour } from "view/charts";
import { Answer, Badge, Interval, Section, Table, ToList, Verdict, count, decimal, html, percent, seconds, short, signed, useData, words } from "view/ui";

export function Run({ run }) {
  const page = useData(`/runs/${run}`);
  return html`<${Answer} of=${page} draw=${(data) => html`<${Page} run=${data} />`} />`;
}

export function TwoRuns({ run, other }) {
  const left = useData(`/runs/${run}`), right = useData(`/runs/${other}`);
  return html`<${Answer} of=${left} draw=${(one) => html`<${Answer} of=${right} draw=${(two) => html`
    <${SuccessOfBoth} left=${one} right=${two} /><${Differences} left=${one} right=${two} />
    <div class="two"><div><${Page} run=${one} /></div><div><${Page} run=${two} /></div></div>`} />`} />`;
}

function SuccessOfBoth({ left, right }) {
  const last = (run) => new Map(run.success.filter((row) => row.role === "warmup" || row.round === run.rounds).map((row) => [[row.split, row.start, row.role].join(), row]));
  const one = last(left), two = last(right);
  const both = [...one.keys()].filter((key) => two.has(key)).map((key) => ({ left: one.get(key), right: two.get(key) }));
  const rate = (row) => html`<${Interval} value=${row.rate} low=${row.low} high=${row.high} kind=${row.role} label=${`${percent(row.low)} to ${percent(row.high)}`} />`;
  return html`<${Section} title="Success of both" note="With 95 % intervals. steca compare gives intervals of differences, over several seeds."><${Table} rows=${both} empty="they were not tested on the same splits" columns=${[
    ["split", (row) => row.left.split],
    ["start", (row) => words(row.left.start)],
    ["policy", (row) => row.left.role],
    [left.run_id, (row) => percent(row.left.rate), "number"],
    ["", (row) => rate(row.left), "wide minor"],
    [right.run_id, (row) => percent(row.right.rate), "number"],
    ["", (row) => rate(row.right), "wide minor"],
    ["second less first", (row) => signed(row.right.rate - row.left.rate, 3), "number"],
  ]} /><//>`;
}

function Differences({ left, right }) {
  const of = (run) => new Map(run.settings.map((row) => [row.setting, row.value]));
  const one = of(left), two = of(right);
  const rows = [...new Set([...one.keys(), ...two.keys()])].filter((name) => one.get(name) !== two.get(name)).sort();
  return html`<${Section} title="Settings that differ"><${Table} rows=${rows} empty="none" columns=${[
    ["setting", (name) => html`<code>${name}</code>`],
    [left.run_id, (name) => one.get(name) ?? "not set"],
    [right.run_id, (name) => two.get(name) ?? "not set"],
  ]} /><//>`;
}

function Page({ run }) {
  return html`<h1>${run.run_id}</h1><p class="chips">
      <${Badge} kind=${run.status}>${run.status}<//> ${run.world}, policy ${run.policy}, rule ${run.preset}, ${run.mode} rollouts, seed ${run.seed}, version ${run.package_version}${run.arms.map((each) => html`, arm ${each.arm} of ${each.comparison}`)}</p>
    <${Headline} run=${run} /><${Success} run=${run} /><${Verdicts} run=${run} /><${Training} run=${run} /><${Work} run=${run} />
    <${Section} title="Settings"><details><summary>${run.settings.length} settings</summary><${Table} rows=${run.settings} columns=${[
      ["setting", (row) => html`<code>${row.setting}</code>`],
      ["value", (row) => row.value ?? "not set"],
    ]} /></details><//>`;
}

function Headline({ run }) {
  const s = run.summary;
  const examples = run.examples.reduce((sum, row) => sum + row.n, 0);
  const cards = [
    [count(s.trajectories), "trajectories"],
    [count(s.rollouts), "rollouts"],
    [count(s.deviated), `deviated of ${count(s.deviated + s.not_deviated + s.undecided)} judged`],
    [count(s.calibrations_kept), `repairs kept of ${count(s.calibrations_kept + s.calibrations_rejected)}`],
    [count(examples), "training examples"],
  ];
  return html`<div class="cards">${cards.map(([value, name]) => html`<div><b>${value}</b><span>${name}</span></div>`)}</div>`;
}

function Success({ run }) {
  const graded = run.success.some((row) => Math.abs(row.reward - row.rate) > 1e-9);
  const types = [...new Set(run.by_type.map((row) => row.split))];
  return html`<${Section} title="Success" note="Share of test tasks won, with its 95 % Wilson interval."><${Table} rows=${run.success} empty="nothing was tested yet" columns=${[
      ["split", (row) => row.split],
      ["start", (row) => words(row.start)],
      ["policy", (row) => (row.role === "trained" && row.round > 1 ? `trained, round ${row.round}` : row.role)],
      ["tasks", (row) => count(row.n), "number"],
      ["won", (row) => percent(row.rate), "number"],
      ["", (row) => html`<${Interval} value=${row.rate} low=${row.low} high=${row.high} kind=${row.role} label=${`${percent(row.rate)}, ${percent(row.low)} to ${percent(row.high)}`} />`, "wide"],
      ["interval", (row) => `${decimal(row.low, 3)} to ${decimal(row.high, 3)}`],
      ...(graded ? [["mean reward", (row) => decimal(row.reward, 3), "number"]] : []),
    ]} />
    ${run.change.length > 0 && html`<h3>What training changed, on the same tasks</h3><${Table} rows=${run.change} columns=${[
      ["split", (row) => row.split],
      ["start", (row) => words(row.start) + (row.round > 1 ? `, round ${row.round}` : "")],
      ["lost", (row) => count(row.only_warmup_won), "number"],
      ["gained", (row) => count(row.only_trained_won), "number"],
      ["change", (row) => signed(row.change, 3), "number"],
      ["95 % interval", (row) => `${signed(row.low, 3)} to ${signed(row.high, 3)}`],
    ]} />`}
    ${types.map((split) => html`<h3>By kind of task, ${split}</h3><${ByType} rows=${run.by_type.filter((row) => row.split === split)} />`)}<//>`;
}

function ByType({ rows }) {
  const last = Math.max(...rows.map((row) => row.round));
  const shown = rows.filter((row) => row.role === "warmup" || row.round === last);
  const kinds = new Set(shown.map((row) => row.task_type)).size;
  return html`<${Chart} label="success rate by kind of task and policy" options=${(Plot, width) => ({
    height: 56 + 34 * kinds,
    marginBottom: 40,
    marginLeft: width < 500 ? 125 : 230,
    x: { domain: [0, 1], label: "success rate", grid: true, tickFormat: "%" },
    y: { label: null, axis: null },
    fy: { label: null, tickFormat: (type) => cut(words(type), width < 500 ? 18 : 40), axis: "left" },
    color: { domain: ["warmup", "trained"], range: [colour("quiet"), colour("accent")], legend: true },
    marks: [
      Plot.ruleY(shown, { fy: "task_type", y: "role", x1: "low", x2: "high", stroke: "role", strokeWidth: 3, strokeOpacity: 0.45 }),
      Plot.dot(shown, { fy: "task_type", y: "role", x: "rate", fill: "role", r: 4.5, title: (row) => `${words(row.task_type)}, ${row.role}: ${row.successes} of ${row.n} (${percent(row.low)} to ${percent(row.high)})`, tip: true }),
    ],
  })} />`;
}

function Verdicts({ run }) {
  if (!run.verdicts.length) return html`<${Section} title="Verdicts"><p class="empty">no turns were compared</p><//>`;
  return html`<${Section} title="Verdicts" kind="verdicts" note=${`Rule ${run.preset}, ${run.mode} rollouts: every turn of an exploration is compared with the expert's turn before it. Gap: reward of the explored turn less that of the expert's.`}>
    <${Gaps} rows=${run.gaps} />
    <p><a class="button" href=${href(["run", run.run_id, "bench"])}>Move the threshold</a></p>
    <${Table} rows=${run.verdicts} columns=${[
      ["round", (row) => row.round],
      ["verdict", (row) => html`<${ToList} run=${run.run_id} params=${{ verdict: row.verdict, kind: "explored" }}><${Verdict} verdict=${row.verdict} /><//>`],
      ["why", (row) => row.rule],
      ["turns", (row) => count(row.n), "number"],
      ["rollouts a turn", (row) => decimal(row.rollouts, 1), "number"],
      ["selected for repair", (row) => (row.selected ? count(row.selected) : ""), "number"],
    ]} />
    ${run.labels?.length > 0 && html`<h3>What people say</h3><${Table} rows=${run.labels} columns=${[
      ["verdict", (row) => html`<${Verdict} verdict=${row.verdict} />`],
      ["labelled", (row) => count(row.n), "number"],
      ["people agree", (row) => percent(row.rate), "number"],
      ["95 % interval", (row) => `${decimal(row.low)} to ${decimal(row.high)}`],
    ]} />`}
    <h3>Repairs</h3><${Table} rows=${run.repairs} empty="none were made" columns=${[
      ["round", (row) => row.round],
      ["plan", (row) => words(row.plan)],
      ["", (row) => html`<${Badge} kind=${row.kept ? "kept" : "rejected"}>${row.kept ? "kept" : "rejected"}<//>`],
      ["why rejected", (row) => words(row.rejection)],
      ["repairs", (row) => count(row.n), "number"],
    ]} /><//>`;
}

function Gaps({ rows }) {
  return html`<${Chart} label="histogram of reward gaps by verdict" options=${(Plot) => ({
    height: 220,
    x: { label: "gap", domain: [-1.05, 1.05] },
    y: { label: "comparisons", grid: true },
    color: { domain: VERDICTS, range: VERDICTS.map(colour), legend: true, tickFormat: words },
    marks: [
      Plot.rectY(rows, { x1: (row) => row.gap - 0.022, x2: (row) => row.gap + 0.022, y: "n", fill: "verdict", order: VERDICTS, tip: true, title: (row) => `gap ${signed(row.gap)}: ${row.n} ${words(row.verdict)}` }),
      Plot.ruleY([0]),
    ],
  })} />`;
}

function Training({ run }) {
  return html`<${Section} title="Training"><${Table} rows=${run.examples} empty="no training set was made" columns=${[
      ["round", (row) => row.round],
      ["part", (row) => html`<${ToList} run=${run.run_id} params=${{ set: row.dataset }}>${words(row.dataset)}<//>`],
      ["examples", (row) => count(row.n), "number"],
      ["least weight", (row) => decimal(row.least, 3), "number"],
      ["mean", (row) => decimal(row.mean, 3), "number"],
      ["most", (row) => decimal(row.most, 3), "number"],
    ]} />
    ${run.pairs.length > 0 && html`<${Table} rows=${run.pairs} columns=${[
      ["round", (row) => row.round],
      ["method", (row) => words(row.method)],
      ["kind", (row) => row.kind],
      ["pairs", (row) => count(row.n), "number"],
      ["mean margin", (row) => decimal(row.margin), "number"],
    ]} />`}
    ${run.trainings.map((each) => html`<${Curve} training=${each} />`)}<//>`;
}

function Curve({ training }) {
  const name = training.role === "trained" ? `training of round ${training.round}` : "warm-up";
  const points = (training.losses || []).map(([step, value]) => ({ step, value }));
  return html`<h3>${name}</h3><p class="note">${count(training.examples)} examples, ${count(training.steps)} steps, ${count(training.target_tokens)} target tokens, ${count(training.parameters)} parameters, final loss ${decimal(training.final_loss, 3)} (−log p of a trajectory's target tokens, summed), checkpoint <code>${short(training.digest)}</code></p>
    <${Chart} label=${`loss of the ${name}`} options=${(Plot) => ({
      height: 160,
      x: { label: "step" },
      y: { label: training.steps > points.length ? `loss of a trajectory, log scale, means of ${Math.ceil(training.steps / points.length)} steps` : "loss of a trajectory, log scale", grid: true, type: "log", ticks: 4 },
      marks: [Plot.lineY(points.filter((point) => point.value > 0), { x: "step", y: "value", stroke: colour("accent"), tip: true })],
    })} />`;
}

function Work({ run }) {
  const priced = run.stages.some((row) => row.usd !== null);
  const total = run.stages.reduce((sum, row) => sum + (row.seconds || 0), 0);
  return html`<${Section} title="Work" note=${`${seconds(total)} in all. Batches that came from the cache took no time in this run.`}><${Table} rows=${run.stages} columns=${[
      ["stage", (row) => (row.round > 1 ? `${row.stage} ${row.round}` : row.stage)],
      ["status", (row) => html`<${Badge} kind=${row.status}>${row.status}<//>`],
      ["time", (row) => seconds(row.seconds), "number"],
      ["", (row) => html`<span class="part" style=${{ width: (total ? (100 * (row.seconds || 0)) / total : 0) + "%" }}></span>`, "wide"],
      ["batches (cached)", (row) => `${count(row.batches)} (${count(row.cached_batches)})`, "number"],
      ["episodes", (row) => count(row.episodes), "number"],
      ["turns", (row) => count(row.turns), "number"],
      ["tokens", (row) => count(row.tokens), "number"],
      ...(priced ? [["$", (row) => decimal(row.usd, 4), "number"]] : []),
    ]} />
    ${run.llm_costs.length > 0 && html`<h3>Calls of language models</h3><${Table} rows=${run.llm_costs} columns=${[
      ["for", (row) => row.purpose],
      ["model", (row) => row.model],
      ["calls", (row) => count(row.calls), "number"],
      ["retries", (row) => count(row.retries), "number"],
      ["tokens in", (row) => count(row.prompt_tokens), "number"],
      ["tokens out", (row) => count(row.completion_tokens), "number"],
      ["$", (row) => decimal(row.usd, 4), "number"],
      ["median latency", (row) => seconds(row.latency_median), "number"],
    ]} />`}
    ${run.repair_costs.map((row) => html`<p class="note">Round ${row.round}: a kept repair took ${decimal(row.calls_per_kept)} calls and ${count(row.tokens_per_kept)} tokens${row.usd_per_kept === null ? "" : `, $${decimal(row.usd_per_kept, 4)}`}.</p>`)}<//>`;
}

const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
