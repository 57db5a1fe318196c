// One turn of a trajectory: what was written, what the world answered, and beside it what is known of it.
import { useState } from "preact/hooks";
import { inFile, post } from "view/source";
import { Rollouts } from "view/rollouts";
import { Badge, Interval, Text, Verdict, count, decimal, html, signed, words } from "view/ui";

export function Turn({ run, data, step, known, current, marked, compact, own, onPick }) {
  const { value, comparison, judgements = [], trained = [] } = known;
  const deviated = comparison?.verdict === "deviated" || step.origin === "deviation";
  const classes = ["turn", step.origin, current && "current", deviated && "deviated-turn", marked && "marked", data.examples.length > 0 && !trained.length && "context"].filter(Boolean).join(" ");
  return html`<article class=${classes} data-turn=${own ? step.step_index : undefined} onClick=${onPick}>
    <div class="number" title=${`step ${step.step_index}, written by: ${step.origin}`}>${step.step_index}</div>
    <div class="said">
      ${step.thinking && html`<details class="thinking"><summary>thinking</summary><${Text} text=${step.thinking} /></details>`}
      ${step.thought && html`<p class="thought"><${Text} text=${step.thought} /></p>`}
      <p class="action"><${Text} text=${step.action} />${!step.valid && html` <${Badge} kind="rejected">refused<//>`}</p>
      ${written(step) && html`<details class="thinking"><summary>as written</summary><${Text} text=${step.text} /></details>`}
      <div class="observation"><${Text} text=${step.observation} /></div>
    </div>
    <div class="known">
      ${deviated && html`<${Badge} kind="deviated">${comparison ? "deviated" : "deviated turn"}<//>`}
      ${comparison && !deviated && comparison.verdict !== "filtered" && html`<${Verdict} verdict=${comparison.verdict} />`}
      ${["repair", "expert"].includes(step.origin) && data.kind !== "expert" && html`<${Badge} kind=${step.origin}>${step.origin}<//>`}
      ${value && html`<${Value} value=${value} />`}
      ${comparison?.gap !== null && comparison?.gap !== undefined && html`<small>gap ${signed(comparison.gap)}</small>`}
      ${trained.map((each) => html`<${Badge} kind="trained">trained × ${decimal(each.weight)}<//>`)}
      ${judgements.map((each) => html`<small title=${each.reason}>${each.model}: ${each.label}</small>`)}
      ${comparison && !inFile && !compact && comparison.verdict !== "filtered" && html`<${Opinion} comparison=${comparison} data=${data} label=${known.label} />`}
    </div>
    ${value && value.n > 0 && html`<${Rollouts} id=${value.step_reward_id} n=${value.n} compact=${compact} />`}
  </article>`;
}

// Whether the whole text holds more than thought and action.
function written(step) {
  const bare = (text) => (text || "").replace(/Thought:|Action:|\s+/g, "");
  return bare(step.text) !== bare(step.thought) + bare(step.action);
}

function Value({ value }) {
  const known = value.terminal ? "the episode ended here" : `${value.successes} of ${count(value.n)} rollouts won`;
  const label = `step reward ${decimal(value.reward)}, 95 % interval ${decimal(value.low)} to ${decimal(value.high)}; ${known}`;
  return html`<div class="value" title=${label}><b>${decimal(value.reward)}</b><${Interval} value=${value.reward} low=${value.low} high=${value.high} label=${label} />
    <small>${value.terminal ? "end" : `${value.successes}/${value.n}`}</small></div>`;
}

const PERSON = "labels by";

// Who labels, as this browser keeps it.
function person() {
  try {
    return localStorage.getItem(PERSON) || "";
  } catch {
    return "";
  }
}

export function Person() {
  const keep = (event) => {
    try {
      localStorage.setItem(PERSON, event.target.value.trim());
    } catch {
      // a browser that keeps nothing
    }
  };
  return html`<label class="person">labels by <input size="10" maxlength="100" placeholder="your name" value=${person()} onChange=${keep} /></label>`;
}

function Opinion({ comparison, data, label }) {
  const [said, setSaid] = useState(label?.label || "");
  const [fault, setFault] = useState("");
  const say = async (event, choice) => {
    event.stopPropagation();
    const next = said === choice ? "none" : choice;
    try {
      await post("/labels", { deviation_id: comparison.deviation_id, trajectory_id: data.trajectory_id, step_index: comparison.step_index, label: next, by: person() });
      setSaid(next);
      setFault("");
    } catch (error) {
      setFault(error.message);
    }
  };
  const button = (choice) => html`<button class="opinion" aria-pressed=${said === choice} onClick=${(event) => say(event, choice)} title=${`You ${choice} with the verdict ${words(comparison.verdict)}`}>${choice}</button>`;
  return html`<span class="opinions">${button("agree")}${button("disagree")}${fault && html`<small class="fault">${fault}</small>`}</span>`;
}
