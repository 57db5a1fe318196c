"""The work of each stage: which batches it runs, and from what. Free of Prefect; `flows.stages` makes flows of them.

The data flow is in the `upstream` arguments; batch i of explore, rewards and calibrate covers the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from configs.needed import needed_stages, needs_greedy_runs
from environments.missing import missing
from flows.stage_run import Job, StageRun
from flows.wording import nothing_to_do
from flows.work.budgeted import score_all
from flows.work.demonstrated import tell_expert_runs
from flows.work.empty import refuse_empty_set, refuse_no_pairs
from flows.work.forecast import forecast
from flows.work.planning import EXPLORED_PARTS, WARMUP_PARTS, in_batches, planned
from models.checkpoint_ref import reference
from rollouts.stages.choose import chooses
from storage.records import RepairChoiceRecord
from storage.shards import BatchRef
from tasks.stage_tasks import (
    JUDGEMENTS,
    REPLIES,
    assemble_batch,
    calibrate_batch,
    calibrate_self_batch,
    choose_batch,
    decide_batch,
    demonstrate_batch,
    evaluate_batch,
    explore_batch,
    forced_deviations_batch,
    judge_batch,
    pair_batch,
    prefer_batch,
    sample_batch,
    score_batch,
    score_ipr_batch,
    train_base_batch,
    train_batch,
    warmup_batch,
)


def demonstrate(stage: StageRun) -> None:
    """Expert runs of all tasks."""
    size = stage.config.execution.batch_tasks
    parts = planned(stage.resources.world, stage.config)
    world = stage.resources.world
    for remark in [*missing(world), *world.remarks()]:
        stage.log(remark)
    batches = [(part, batch) for part, tasks in parts.items() for batch in in_batches(tasks, size)]
    stage.announce_batches(len(batches))
    more = {"demonstrations": world.recordings.digest} if world.recordings else {}
    refs = stage.run_all([Job(demonstrate_batch, part, tasks=batch, more=more) for part, batch in batches])
    tell_expert_runs(stage, [(part, ref) for (part, _), ref in zip(batches, refs, strict=True)])


def warmup(stage: StageRun) -> None:
    """The base policy, trained on the expert runs."""
    stage.announce_batches(1)
    base = base_digest(stage)
    refs = {"records": stage.upstream("demonstrate", "demonstrate", WARMUP_PARTS)}
    # the tokenizer of a new model is trained on it
    data = "" if base else stage.resources.world.data_digest()
    more = {"base": base, "round": "0"} | ({"data": data} if data else {})
    explores = "explore" in needed_stages(stage.config)
    stage.trained(stage.run(warmup_batch, upstream=refs, more=more), acts_next=explores)


def explore(stage: StageRun) -> None:
    """The policy's own turns after every expert prefix, played to the end, where something needs them, and sampled runs
    of the tasks."""
    if not_needed(stage):
        return
    stage.checkpoint = explorer(stage)
    demonstrations = stage.upstream("demonstrate", "demonstrate", EXPLORED_PARTS)
    greedy, samples = needs_greedy_runs(stage.config), stage.config.exploration.samples
    stage.announce_batches(len(demonstrations) * (greedy + samples))
    checkpoint = stage.checkpoint
    jobs = [
        Job(explore_batch, upstream={"records": [ref]}, checkpoint=checkpoint)
        for ref in demonstrations
        if greedy
    ]
    if not greedy:
        stage.leaves_behind("explore")
    for sample in range(samples):
        more = {"sample": str(sample)}
        jobs += [
            Job(sample_batch, upstream={"records": [ref]}, checkpoint=checkpoint, more=more)
            for ref in demonstrations
        ]
    stage.run_all(jobs)


def rewards(stage: StageRun) -> None:
    """Monte-Carlo step rewards by the scorer (usually the warm-up policy), and the verdicts over them."""
    if not_needed(stage):
        return
    stage.checkpoint = scorer(stage)
    pairs = explored(stage)
    judges, tests = stage.config.judges, tests_ahead(stage)
    stage.announce_batches(
        (2 + judges) * len(pairs) + len(tests) * (1 + stage.config.evaluation.forced_deviations)
    )
    stage.estimates(partial(forecast, stage, pairs, stage.checkpoint))
    task = score_ipr_batch if stage.config.training.method == "ipr" else score_batch
    scored = score_all(stage, task, pairs)
    labels = labels_of(stage, pairs) if judges else []
    decides = stage.config.deviation.preset == "judge"  # else verdicts do not depend on them
    for index, (pair, scores) in enumerate(zip(pairs, scored, strict=True)):
        judgements = labels[index : index + 1] if decides else ()
        stage.run(decide_batch, upstream={"records": [*pair, scores, *judgements]})
    if tests:
        stage.log("testing the warm-up policy while its server runs, for stage evaluate")
        with stage.ahead():
            starts = test_starts(stage, tests, stage.checkpoint)
            stage.run_all(tests_of("warmup", stage.checkpoint, starts))


def calibrate(stage: StageRun) -> None:
    """Reflections on the deviations, and repairs that were executed to success."""
    if not_needed(stage):
        return
    verdicts = stage.upstream("rewards", "decide")
    choosing = chooses(stage.config.calibration)
    stage.announce_batches(len(verdicts) + choosing)
    choices = {"choices": [chosen_repairs(stage, verdicts)]} if choosing else {}
    more = {"replies": REPLIES} if stage.config.calibration.reflector != "template" else {}
    by_policy = stage.config.calibration.reflector == "policy"
    task, checkpoint = (calibrate_self_batch, explorer(stage)) if by_policy else (calibrate_batch, None)
    stage.run_all(
        [
            Job(task, upstream={"records": [*pair, verdict], **choices}, checkpoint=checkpoint, more=more)
            for pair, verdict in zip(explored(stage), verdicts, strict=True)
        ]
    )


def train(stage: StageRun) -> None:
    """The policy trained on weighted training sets, or on preference pairs."""
    stage.announce_batches(2)
    made = train_on_sets(stage) if stage.config.training.method == "likelihood" else train_on_pairs(stage)
    # otherwise the warm-up policy is tested first
    acts_next = stage.resources.servers.last and (stage.round > 1 or warmup_scores(stage))
    stage.trained(made, acts_next)


def train_on_sets(stage: StageRun) -> BatchRef:
    """The weighted training sets, and the training on them, from the round's explorer or from the base model."""
    demonstrated = stage.upstream("demonstrate", "demonstrate", WARMUP_PARTS)
    runs = [ref for pair in explored(stage) for ref in pair]
    if stage.config.datasets.sampled_successes:
        runs += stage.upstream("explore", "sample")
    repairs = repairs_of(stage)
    verdicts = [*stage.upstream("rewards", "score"), *stage.upstream("rewards", "decide")]
    sources = {"records": [*runs, *verdicts, *repairs], "demonstrated": demonstrated}
    examples = stage.run(assemble_batch, upstream=sources)
    refuse_empty_set(stage, examples)
    played = {ref.sha256: ref for ref in [*runs, *repairs, *demonstrated]}  # shared tasks occur twice
    refs = {"records": list(played.values()), "examples": [examples]}
    more = {"round": str(stage.round)}
    if stage.config.training.start == "base":
        more["base"] = base_digest(stage)
        return stage.run(
            train_base_batch, upstream=refs, checkpoint=stage.checkpoint_of("warmup", 0), more=more
        )
    return stage.run(train_batch, upstream=refs, checkpoint=explorer(stage), more=more)


def train_on_pairs(stage: StageRun) -> BatchRef:
    """The preference pairs of the method, and the training on them, from the round's explorer."""
    training = stage.config.training
    stages = needed_stages(stage.config)
    records = [ref for pair in explored(stage) for ref in pair]
    for name, tasks in (
        ("rewards", ("score", "score_ipr", "decide")),
        ("calibrate", ("calibrate", "calibrate_self")),
    ):
        if name in stages:
            records += [ref for task in tasks for ref in stage.upstream(name, task)]
    pairs = stage.run(pair_batch, upstream={"records": records})
    refuse_no_pairs(stage, pairs, records)
    from_warmup = training.reference_model == "warmup"
    reference_model = stage.checkpoint_of("warmup", 0) if from_warmup else explorer(stage)
    more = {"round": str(stage.round), "reference": reference_model}
    refs = {"records": records, "pairs": [pairs]}
    return stage.run(prefer_batch, upstream=refs, checkpoint=explorer(stage), more=more)


def evaluate(stage: StageRun) -> None:
    """Greedy test episodes of the warm-up policy and of the round's trained policy."""
    warmed_up, stage.checkpoint = stage.checkpoint_of("warmup", 0), stage.checkpoint_of("train", stage.round)
    tasks = stage.upstream("demonstrate", "demonstrate", stage.config.evaluation.splits)
    stage.announce_batches(len(tasks) * (2 + stage.config.evaluation.forced_deviations))
    starts = test_starts(stage, tasks, warmed_up)
    for role, digest in (("warmup", warmed_up), ("trained", stage.checkpoint)):
        stage.run_all(tests_of(role, digest, starts))


def tests_ahead(stage: StageRun) -> list[BatchRef]:
    """The batches of test tasks that the warm-up policy plays while its server runs: later it would need another one.
    None where it has no server, or plays them anew in stage evaluate."""
    if stage.force or stage.round > 1 or not (stage.resources.servers.last and warmup_scores(stage)):
        return []
    return stage.upstream("demonstrate", "demonstrate", stage.config.evaluation.splits)


def warmup_scores(stage: StageRun) -> bool:
    """Whether stage rewards uses the warm-up policy, and so can test it too."""
    return "rewards" in needed_stages(stage.config) and scorer(stage) == stage.checkpoint_of("warmup", 0)


def tests_of(role: str, digest: str, starts: list[list[BatchRef]]) -> list[Job]:
    """The test episodes of a policy."""
    return [
        Job(evaluate_batch, upstream={"records": refs}, checkpoint=digest, more={"role": role})
        for refs in starts
    ]


CHAIN: dict[str, Callable[[StageRun], None]] = {
    stage.__name__: stage for stage in (demonstrate, warmup, explore, rewards, calibrate, train, evaluate)
}


def chosen_repairs(stage: StageRun, verdicts: list[BatchRef]) -> BatchRef:
    """The choice of the turns to repair, over all tasks of the round."""
    ref = stage.run(choose_batch, upstream={"records": verdicts})
    rows = stage.resources.shards.read(ref, RepairChoiceRecord)
    calibration, taken = stage.config.calibration, sum(row.chosen for row in rows)
    wanted = (
        f" of {calibration.repairs:,} wanted" if calibration.repairs and taken < calibration.repairs else ""
    )
    stage.log(f"repairs: {taken:,}{wanted}, chosen by {calibration.choose} from {len(rows):,} turns")
    return ref


def labels_of(stage: StageRun, pairs: list[list[BatchRef]]) -> list[BatchRef]:
    """What a language model says of the explored turns, a batch for each of these."""
    more = {"replies": JUDGEMENTS}
    return stage.run_all([Job(judge_batch, upstream={"records": pair}, more=more) for pair in pairs])


def repairs_of(stage: StageRun) -> list[BatchRef]:
    """The calibrations of the round, whoever reflected."""
    return [ref for task in ("calibrate", "calibrate_self") for ref in stage.upstream("calibrate", task)]


def not_needed(stage: StageRun) -> bool:
    """Whether nothing that the run trains on needs this stage, which then has nothing to do."""
    if stage.name in needed_stages(stage.config):
        return False
    stage.announce_batches(0)
    stage.log(nothing_to_do("this run"))
    stage.leaves_behind()
    return True


def base_digest(stage: StageRun) -> str:
    """The digest of the configured base model, of its content, not its place; "" for a small model."""
    folder = stage.config.policy.base
    return reference(folder).digest if folder else ""


def explorer(stage: StageRun) -> str:
    """The digest of the policy that explores in a round."""
    if stage.round == 1:
        return stage.checkpoint_of("warmup", 0)
    return stage.checkpoint_of("train", stage.round - 1)


def scorer(stage: StageRun) -> str:
    """The digest of the policy whose rollouts are the step rewards. Raises PolicyFault if `rewards.scorer` is no
    model."""
    return stage.resources.scorer() or stage.checkpoint_of("warmup", 0)


def explored(stage: StageRun) -> list[list[BatchRef]]:
    """For each batch of explored tasks: its demonstrations and its greedy explorations, where the run needs them."""
    demonstrations = stage.upstream("demonstrate", "demonstrate", EXPLORED_PARTS)
    if not needs_greedy_runs(stage.config):
        return [[ref] for ref in demonstrations]
    runs = stage.upstream("explore", "explore")
    return [list(pair) for pair in zip(demonstrations, runs, strict=True)]


def test_starts(stage: StageRun, tasks: list[BatchRef], scorer: str) -> list[list[BatchRef]]:
    """Each batch of test tasks, with its forced deviations if the run has some."""
    if not stage.config.evaluation.forced_deviations:
        return [[ref] for ref in tasks]
    forced = stage.run_all(
        [Job(forced_deviations_batch, upstream={"records": [ref]}, checkpoint=scorer) for ref in tasks]
    )
    return [[ref, deviations] for ref, deviations in zip(tasks, forced, strict=True)]
