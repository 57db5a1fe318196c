// Filters and pages of the list of trajectories, in a file without a server. view/queries/listing.py does the same in SQL.
const PAGE = 50;
const ORDERS = {
  task: [],
  gap: ["gap", 1],
  value: ["value", 1],
  steps: ["n_steps", -1],
  reward: ["outcome", 1],
};

export function select(rows, params) {
  const left = filtered(rows, params);
  const page = Number(params.page || 0);
  return { total: left.length, page, size: PAGE, rows: left.slice(page * PAGE, (page + 1) * PAGE) };
}

export function place(rows, params, id) {
  const left = filtered(rows, params);
  const at = left.findIndex((row) => row.trajectory_id === id);
  if (at < 0) return { place: null, total: null, previous: null, next: null };
  return { place: at + 1, total: left.length, previous: left[at - 1]?.trajectory_id, next: left[at + 1]?.trajectory_id };
}

// The rows lie in the order "task".
function filtered(rows, params) {
  const left = rows.filter((row) => conditions(params).every((holds) => holds(row)));
  const [column, sign] = ORDERS[params.order || "task"];
  if (!column) return left;
  const value = (row) => (row[column] === null ? Infinity : sign * row[column]);
  return left.sort((a, b) => value(a) - value(b) || (a.trajectory_id < b.trajectory_id ? -1 : 1));
}

function conditions(params) {
  const found = [];
  for (const [name, column] of [["kind", "kind"], ["split", "split"], ["type", "task_type"], ["role", "role"]])
    if (params[name]) found.push((row) => row[column] === params[name]);
  if (params.round) found.push((row) => row.rounds.includes(Number(params.round)));
  if (params.success) found.push((row) => row.success === (params.success === "true"));
  if (params.verdict) found.push((row) => row.verdicts.includes(params.verdict));
  if (params.trained) found.push((row) => (row.weight !== null) === (params.trained === "true"));
  if (params.set) found.push((row) => row.sets.includes(params.set));
  for (const [name, column] of [["reward", "outcome"], ["value", "value"]]) {
    const from = params[`${name}_from`], to = params[`${name}_to`];
    if (from !== undefined) found.push((row) => row[column] !== null && row[column] >= Number(from));
    if (to !== undefined) found.push((row) => row[column] !== null && row[column] <= Number(to));
  }
  const asked = (params.q || "").toLowerCase();
  if (asked) found.push((row) => row.words.includes(asked) || (asked.length >= 6 && [row.trajectory_id, row.task_id].some((id) => id.startsWith(params.q))));
  return found;
}
