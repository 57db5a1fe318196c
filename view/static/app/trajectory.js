// A trajectory as a conversation, or the expert's, the explored and the repaired one side by side.
import { useEffect, useMemo, useState } from "preact/hooks";
import { change, go, href } from "view/router";
import { inFile } from "view/source";
import { chosen } from "view/trajectories";
import { Answer, Badge, Section, Text, ToTrajectory, Verdict, count, decimal, html, percent, short, useData, useKeys, words } from "view/ui";
import { Tokens } from "view/tokens";
import { Person, Turn } from "view/turn";

const PACE = 1200; // milliseconds a turn in a replay

export function Trajectory({ run, id, params }) {
  const found = useData(`/runs/${run}/trajectories/${id}`);
  const beside = useData(`/runs/${run}/trajectories/${id}/neighbours`, chosen(params));
  return html`<${Walk} run=${run} beside=${beside.data} params=${params} />
    <${Answer} of=${found} draw=${(data) => html`<${Page} run=${run} data=${data} params=${params} />`} />`;
}

// The way through the filtered list: it works before the trajectory itself is there.
function Walk({ run, beside, params }) {
  const to = (id) => href(["run", run, "trajectory", id], { ...chosen(params), page: params.page, side: params.side });
  useKeys({
    ArrowLeft: () => beside?.previous && (location.hash = to(beside.previous)),
    ArrowRight: () => beside?.next && (location.hash = to(beside.next)),
    u: () => go(["run", run, "trajectories"], { ...chosen(params), page: params.page }),
  });
  const link = (id, text, key) => (id ? html`<a class="button" href=${to(id)} title=${`key ${key}`}>${text}</a>` : html`<span class="button off">${text}</span>`);
  return html`<p class="pages"><a class="button" href=${href(["run", run, "trajectories"], { ...chosen(params), page: params.page })} title="key u">list</a>
    ${link(beside?.previous, "previous", "←")}${link(beside?.next, "next", "→")}
    <span>${beside?.place ? `${count(beside.place)} of ${count(beside.total)}` : beside ? "not in the filtered list" : ""}</span></p>`;
}

function Page({ run, data, params }) {
  const comparison = useMemo(() => focus(data, params), [data, params.comparison]);
  const [turn, setTurn] = useTurn(data, params, comparison);
  const side = params.side === "1" && comparison;
  const toggle = () => comparison && change({ side: params.side === "1" ? "" : "1" });
  const [playing, setPlaying] = useReplay(data, turn, setTurn);
  useKeys({
    j: () => setTurn(turn + 1),
    k: () => setTurn(turn - 1),
    " ": () => setPlaying((playing) => !playing),
    s: toggle,
    r: () => document.querySelector(`[data-turn="${turn}"] .rollouts-button`)?.click(),
  });
  return html`<${Head} run=${run} data=${data} /><${Comparisons} data=${data} comparison=${comparison} />
    <p class="controls"><button onClick=${() => setPlaying(!playing)} title="key space">${playing ? "stop" : "replay"}</button>
      ${comparison && html`<button aria-pressed=${Boolean(side)} onClick=${toggle} title="key s">${side ? "this trajectory alone" : "expert | explored | repaired"}</button>`}
      ${!inFile && comparison && html`<${Person} />`}
      <span class="note keys">j k: turns · ← →: trajectories · space: replay · s: side by side · r: rollouts · u: list</span></p>
    ${side ? html`<${SideBySide} run=${run} data=${data} comparison=${comparison} turn=${turn} setTurn=${setTurn} />`
      : html`<${Conversation} run=${run} data=${data} turn=${turn} setTurn=${setTurn} />`}
    <${Others} run=${run} data=${data} />`;
}

// The comparison that the page is about: the one that is asked for, else a deviated or repaired one, else the first.
function focus(data, params) {
  const all = data.comparisons;
  return (
    all.find((each) => each.deviation_id === params.comparison) ||
    all.find((each) => (each.repairs || []).some((repair) => repair.trajectory_id === data.trajectory_id)) ||
    all.find((each) => each.verdict === "deviated") || all.find((each) => each.gap !== null) || all[0]
  );
}

function Head({ run, data }) {
  const tested = data.tested.map((each) => `${each.role}${each.role === "trained" ? ` of round ${each.round}` : ""}, ${words(each.start)}`);
  return html`<h1><${Text} text=${data.instruction} shown=${300} /></h1><p class="chips">
    <${Badge} kind=${data.kind}>${words(data.kind)}<//> <${Badge} kind=${data.success ? "kept" : "rejected"}>${data.success ? "won" : words(data.end_reason)}<//>${" "}
    reward ${decimal(data.outcome)}, ${count(data.n_steps)} steps${data.prefix_steps ? ` (the first ${data.prefix_steps} are the expert's)` : ""}, ${words(data.task_type)}, split ${data.split}${tested.length ? `, test of ${tested.join("; ")}` : ""}${data.checkpoint ? html`, policy <code>${short(data.checkpoint)}</code>` : ""}, <code title="id of the trajectory">${data.trajectory_id}</code></p>
    ${data.examples.map((each) => html`<div class="trained-on">Trained on as <b>${words(each.dataset)}</b> in round ${each.round}, from step ${each.target_from} on, weight ${decimal(each.weight, 3)}${each.distance === null ? "" : ` (distance ${decimal(each.distance, 3)})`}${" "}
      <code class="quiet" title="steca trace takes this id">${each.example_id}</code>${!inFile && html`<${Tokens} run=${run} id=${each.example_id} />`}</div>`)}
    ${data.pairs.map((each) => html`<p class="trained-on">${each.chosen_trajectory_id === data.trajectory_id ? "Chosen" : "Rejected"} side of a ${words(each.method)} pair, round ${each.round}</p>`)}`;
}

function Comparisons({ data, comparison }) {
  const all = data.comparisons.filter((each) => each.gap !== null || each.verdict !== "filtered");
  if (!comparison) return null;
  const repair = (comparison.repairs || [])[0];
  return html`<div class=${"verdict-box " + comparison.verdict}>
    ${all.length > 1 && html`<label class="line">comparison <select value=${comparison.deviation_id} onChange=${(event) => change({ comparison: event.target.value })}>
      ${[...new Set([comparison, ...all])].map((each) => html`<option value=${each.deviation_id}>step ${each.step_index}: ${words(each.verdict)}${each.gap === null ? "" : `, gap ${decimal(each.gap)}`}</option>`)}</select></label>`}
    <p><${Verdict} verdict=${comparison.verdict} /> at step ${comparison.step_index}: ${comparison.rule}. The expert: <code><${Text} text=${comparison.expert_action} shown=${200} /></code>, explored: <code><${Text} text=${comparison.explored_action} shown=${200} /></code>.${" "}${comparison.gap !== null && html` Reward ${decimal(comparison.reference_reward)} (${comparison.reference_n} rollouts) → ${decimal(comparison.explored_reward)} (${comparison.explored_n}): gap <b>${decimal(comparison.gap)}</b>${comparison.gap_low === null ? "" : `, between ${decimal(comparison.gap_low)} and ${decimal(comparison.gap_high)} except for ${percent(comparison.error_rate, 0)} at each end`}; threshold ${decimal(comparison.delta)} (${comparison.preset}).`}</p>
    ${repair && html`<p><${Badge} kind=${repair.kept ? "kept" : "rejected"}>${repair.kept ? "repaired" : "repair rejected"}<//> by ${words(repair.plan)}${repair.kept ? "" : `: ${words(repair.rejection)} ${repair.rejection_detail || ""}`}. Reflection (${repair.reflector}): <q><${Text} text=${repair.reflection} /></q></p>`}</div>`;
}

export function Conversation({ run, data, turn, setTurn, comparison, compact, own = !compact }) {
  const known = useMemo(() => annotations(data, comparison?.round), [data, comparison?.round]);
  const drawn = (step) => html`<${Turn} key=${step.step_index} run=${run} data=${data} step=${step} known=${known[step.step_index] || {}} current=${step.step_index === turn} marked=${comparison?.step_index === step.step_index} compact=${compact} own=${own} onPick=${() => setTurn(step.step_index)} />`;
  const before = compact ? data.steps.slice(0, Math.max(0, comparison.step_index - 1)) : []; // the reference turn is shown
  return html`<div class="conversation"><div class="observation first"><${Text} text=${data.first_observation} /></div>
    ${before.length > 0 && html`<details class="before"><summary>the ${before.length} turns before</summary>${before.map(drawn)}</details>`}
    ${data.steps.slice(before.length).map(drawn)}
    <p class="end">${data.success ? "The goal is reached." : words(data.end_reason)}</p></div>`;
}

// By step: its value, the verdict on it, judgements, labels and what is trained of it. Several rounds may have scored a
// turn: the value is that of the round of the comparison which is shown, or of the last one.
function annotations(data, round = Infinity) {
  const found = {};
  const at = (index) => (found[index] ??= { judgements: [], trained: [] });
  for (const value of data.values) if (value.round <= round || !at(value.step_index).value) at(value.step_index).value = value;
  for (const each of data.comparisons)
    if (each.explored_trajectory_id === data.trajectory_id && (each.gap !== null || !at(each.step_index).comparison)) at(each.step_index).comparison = each;
  for (const each of data.judgements) at(each.step_index).judgements.push(each);
  for (const each of data.labels || []) at(each.step_index).label = each;
  for (const example of data.examples)
    for (const step of data.steps) if (step.step_index >= example.target_from) at(step.step_index).trained.push(example);
  return found;
}

function SideBySide({ run, data, comparison, turn, setTurn }) {
  const repaired = (comparison.repairs || [])[0]?.trajectory_id;
  const columns = [["expert", comparison.expert_trajectory_id], ["explored", comparison.explored_trajectory_id], ["repaired", repaired]];
  return html`<div class="three">${columns.map(([name, id]) => html`<div class="column" key=${name}><h3>${!id || id === data.trajectory_id ? name : html`<${ToTrajectory} run=${run} id=${id}>${name}<//>`}${id === data.trajectory_id ? " (this one)" : ""}</h3>
    ${id ? html`<${Column} run=${run} id=${id} data=${id === data.trajectory_id ? data : null} comparison=${comparison} turn=${turn} setTurn=${setTurn} />` : html`<p class="empty">no repair</p>`}</div>`)}</div>`;
}

function Column({ run, id, data, ...rest }) {
  const other = useData(data ? "" : `/runs/${run}/trajectories/${id}`);
  if (data) return html`<${Conversation} run=${run} data=${data} compact own ...${rest} />`;
  return html`<${Answer} of=${other} draw=${(found) => html`<${Conversation} run=${run} data=${found} compact ...${rest} />`} />`;
}

function Others({ run, data }) {
  const others = data.same_task;
  return html`<${Section} title="The same task"><p class="others">${others.slice(0, 60).map((each) => html`
    <${ToTrajectory} run=${run} id=${each.trajectory_id}>${words(each.kind)}${each.prefix_steps ? ` after ${each.prefix_steps} steps` : ""}: ${each.success ? "won" : "not won"}, ${each.n_steps} steps<//>`)}
    ${others.length > 60 && html`<span>and ${count(others.length - 60)} more</span>`}${!others.length && "was played once"}</p><//>`;
}

function useTurn(data, params, comparison) {
  const asked = params.turn === undefined ? undefined : Math.trunc(Number(params.turn)) || 0;
  const start = asked === undefined ? undefined : Math.max(0, Math.min(data.steps.length - 1, asked));
  const [turn, setTurn] = useState(start ?? comparison?.step_index ?? 0);
  useEffect(() => {
    if (start !== undefined && start !== turn) setTurn(start);
  }, [params.turn]);
  useEffect(() => {
    if (start !== undefined || turn !== (comparison?.step_index ?? 0)) document.querySelector(`[data-turn="${turn}"]`)?.scrollIntoView({ block: "center" });
  }, [turn, data.trajectory_id]);
  const pick = (next) => {
    const inside = Math.max(0, Math.min(data.steps.length - 1, next));
    setTurn(inside);
    change({ turn: inside });
  };
  return [turn, pick];
}

function useReplay(data, turn, setTurn) {
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return undefined;
    if (turn >= data.steps.length - 1) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => setTurn(turn + 1), PACE);
    return () => clearTimeout(timer);
  }, [playing, turn]);
  const play = (on) => {
    const next = typeof on === "function" ? on(playing) : on;
    if (next && turn >= data.steps.length - 1) setTurn(0);
    setPlaying(next);
  };
  return [playing, play];
}
