-- Verdicts under another rule, from the stored evidence alone: what steca.deviation does, in SQL.
-- Its presets are the view deviation_presets, made from the Python ones (storage.sql.presets); wording and order of the
-- filters are those of `prefilter`, `decide` and `judge`, which tests/storage/test_decide.py holds them to.

-- An action without what Python's str.split() takes for white space at its ends and more than once inside.
CREATE OR REPLACE MACRO words(action) AS trim(regexp_replace(
    action, '[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+', ' ', 'g'
));

-- Eq. 5 on the means: `gap` is explored_reward - reference_reward.
CREATE OR REPLACE MACRO verdict_by_means(gap, delta, strict) AS
    CASE
        WHEN gap IS NULL THEN NULL
        WHEN strict AND gap < delta::DOUBLE - tie() OR NOT strict AND gap <= delta::DOUBLE + tie() THEN 'deviated'
        ELSE 'not_deviated'
    END;

-- What the rollouts prove: gap_low and gap_high are the ends of the interval of the gap. An end at 1 or -1 may be no
-- more than where gaps end.
CREATE OR REPLACE MACRO verdict_by_evidence(gap_low, gap_high, delta, smallest_drop) AS
    CASE
        WHEN gap_high <= delta::DOUBLE + tie() AND gap_high < 1 THEN 'deviated'
        WHEN gap_low >= delta::DOUBLE - smallest_drop::DOUBLE - tie() AND gap_low > -1 THEN 'not_deviated'
        ELSE 'undecided'
    END;

-- By the probability of a drop, which is NULL where the rollouts leave the verdict open.
CREATE OR REPLACE MACRO verdict_by_posterior(drop_probability, probability) AS
    CASE
        WHEN drop_probability IS NULL THEN 'undecided'
        WHEN drop_probability > probability::DOUBLE + tie() THEN 'deviated'
        ELSE 'not_deviated'
    END;

-- The least and the most that the mean of `wanted` outcomes can come to, `n` of which are there and sum up to `total`;
-- where n is 0 `reward` is known.
CREATE OR REPLACE MACRO least_mean(reward, n, total, wanted) AS
    CASE WHEN n = 0 THEN reward ELSE coalesce(total, 0) / wanted END;
CREATE OR REPLACE MACRO most_mean(reward, n, total, wanted) AS
    CASE WHEN n = 0 THEN reward ELSE (coalesce(total, 0) + wanted - least(coalesce(n, 0), wanted)) / wanted END;

-- Eq. 5 on the means, where it is certain: both ends of the gap give the same verdict. Else NULL.
CREATE OR REPLACE MACRO settled_verdict(reference_least, reference_most, explored_least, explored_most, delta, strict) AS
    CASE
        WHEN verdict_by_means(explored_most - reference_least, delta, strict)
            = verdict_by_means(explored_least - reference_most, delta, strict)
        THEN verdict_by_means(explored_least - reference_least, delta, strict)
    END;

-- Why a comparison can never be used under a preset, whatever its rewards; NULL where it can. `c` is a row of
-- step_reward_gaps, `r` one of deviation_presets.
CREATE OR REPLACE MACRO filter_reason(c, r) AS
    CASE
        WHEN r.require_failure AND c.explored_success THEN 'run succeeded'
        WHEN c.step_index < r.min_step THEN 'step too early'
        WHEN c.explored_action = c.expert_action OR words(c.explored_action) = words(c.expert_action)
            THEN 'equal action'
        WHEN c.similarity >= r.max_similarity THEN 'too similar'
        WHEN r.require_continuation AND NOT c.continues THEN 'no continuation'
    END;

-- FROM what_if('RUN', preset := 'release', delta := 0.1): every comparison of a run as step_reward_gaps has it, and
-- under the other rule new_preset, new_delta, new_verdict, new_rule, new_selected: what the stage rewards would say.
-- What is not given stays as the run had it. `comparisons` may name any relation with the columns of step_reward_gaps.
-- Rules that compare means take the first `rollouts` outcomes of each side: those that mode fixed would have made.
--   new_rule 'no rollouts'         nothing is known of either turn: new rollouts would have to say
--   new_rule 'too few rollouts'    those that are there leave the verdict of the means open
--   new_verdict NULL               stored by an older version, which did not keep what the filters look at
-- The stored interval was made at one error rate. At a looser one (larger) all that it proves stays proven, and is
-- kept: 'a drop is proven' is final, 'no drop that matters' stays true, though the same turn's small drop might be
-- proven as well. What it leaves open there, and everything at a stricter one, is undecided:
--   new_rule 'another error rate'  the interval would have to be made anew, which `steca what-if` does
-- So at a looser rate there may be more deviations than are found here, and a task's first one may be an earlier turn.
-- The probability of a drop is not computed in SQL. The run's own verdicts by it are kept where the whole rule is its own;
-- all others are undecided:
--   new_rule 'P(drop) is not known'  `steca what-if` computes it: `with_drops` says that the relation's drop_probability
--                                    is that of the new delta, and NULL where the rollouts leave the verdict open
-- The preset judge knows what a language model said of the run's turns (table judgements); the others are undecided:
--   new_rule 'not judged'          a run with judge.ask=always would store it
CREATE OR REPLACE MACRO what_if(
    run, preset := NULL, delta := NULL, smallest_drop := NULL, error_rate := NULL, probability := NULL, rollouts := NULL,
    comparisons := 'step_reward_gaps', with_drops := false
) AS TABLE
WITH settings AS (
    SELECT
        json_extract_string(n.config, '$.deviation.smallest_drop')::DOUBLE AS smallest_drop,
        json_extract_string(n.config, '$.deviation.probability')::DOUBLE AS probability,
        json_extract_string(n.config, '$.rewards.rollouts')::BIGINT AS own_rollouts,
        coalesce(rollouts, json_extract_string(n.config, '$.rewards.rollouts')::BIGINT) AS rollouts,
        json_extract_string(n.config, '$.rewards.candidates')::BIGINT AS candidates,
        json_extract_string(n.config, '$.rewards.mode') <> 'fixed' AS in_order
    FROM run_configs n WHERE n.run_id = run
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL FROM (SELECT count(*) AS n FROM run_configs k WHERE k.run_id = run) known
    WHERE CASE WHEN known.n = 0 THEN error(
        'no run has the id ' || run || ': `SELECT run_id FROM runs` lists them; `steca what-if --run` takes a name or the first letters'
    )::BOOLEAN ELSE false END
), asked AS (
    SELECT
        c, r, s, coalesce(preset, c.preset) AS new_preset, coalesce(delta, c.delta)::DOUBLE AS new_delta,
        coalesce(smallest_drop, s.smallest_drop, r.smallest_drop)::DOUBLE AS new_drop,
        error_rate::DOUBLE <> c.error_rate AS other_rate, error_rate::DOUBLE < c.error_rate AS stricter_rate,
        coalesce(probability, s.probability, r.probability)::DOUBLE AS new_probability,
        coalesce(s.rollouts, greatest(c.reference_n, c.explored_n)) AS wanted
    FROM query_table(comparisons) c
    LEFT JOIN settings s ON true
    LEFT JOIN deviation_presets r ON r.preset = coalesce(preset, c.preset)
    WHERE c.run_id = run
), labels AS (
    SELECT g.round, d.deviation_id, g.label
    FROM run_judgements g
    JOIN deviations d ON d.explored_trajectory_id = g.trajectory_id AND d.step_index = g.step_index
    WHERE g.run_id = run
), early AS (  -- the first outcomes of turns that have more than the means are taken of
    SELECT o.step_reward_id, count_if(o.outcome >= 1) AS success, sum(coalesce(o.progress, o.outcome)) AS progress,
        sum(o.outcome) AS score
    FROM distinct_rollouts o
    SEMI JOIN (
        SELECT a.c.reference_step_reward_id AS step_reward_id FROM asked a WHERE a.c.reference_n > a.wanted
        UNION SELECT a.c.explored_step_reward_id FROM asked a WHERE a.c.explored_n > a.wanted
    ) USING (step_reward_id)
    WHERE o.sample_index < (SELECT s.rollouts FROM settings s)
    GROUP BY ALL
), limits AS (  -- the last step of each task that is scored; no filters are weaker than the paper's
    SELECT
        a.c.round AS round, a.c.task_id AS task_id,
        list(a.c.step_index ORDER BY a.c.step_index)[any_value(a.s.candidates)] AS step
    FROM asked a JOIN deviation_presets p ON p.preset = 'paper'
    WHERE a.s.candidates IS NOT NULL AND filter_reason(a.c, p) IS NULL
    GROUP BY ALL
), summed AS (
    SELECT
        a.*,
        CASE
            WHEN a.c.reference_n <= a.wanted THEN a.c.reference_reward * a.c.reference_n
            ELSE picked(a.c.compared_outcome, b.success, b.progress, b.score)
        END AS before,
        CASE
            WHEN a.c.explored_n <= a.wanted THEN a.c.explored_reward * a.c.explored_n
            ELSE picked(a.c.compared_outcome, e.success, e.progress, e.score)
        END AS after,
        a.c.step_index > l.step AS beyond, g.label AS label, g.deviation_id IS NOT NULL AS judged,
        a.c.preset = a.new_preset AND a.c.delta = a.new_delta
            AND a.new_probability = coalesce(a.s.probability, a.r.probability)
            AND a.wanted IS NOT DISTINCT FROM a.s.own_rollouts AS own_posterior
    FROM asked a
    LEFT JOIN early b ON b.step_reward_id = a.c.reference_step_reward_id
    LEFT JOIN early e ON e.step_reward_id = a.c.explored_step_reward_id
    LEFT JOIN limits l ON l.round = a.c.round AND l.task_id = a.c.task_id
    LEFT JOIN labels g ON g.round = a.c.round AND g.deviation_id = a.c.deviation_id
), decided AS (
    SELECT
        a.*,
        CASE
            WHEN a.r.preset IS NULL THEN error(
                'no deviation preset is called ' || a.new_preset || '; known: '
                || (SELECT string_agg(known.preset, ', ') FROM deviation_presets known)
            )
            WHEN a.c.explored_success IS NULL OR a.c.similarity IS NULL OR a.c.continues IS NULL
                THEN 'stored by an older version'
            ELSE coalesce(
                filter_reason(a.c, a.r),
                CASE WHEN (a.r.needs_rewards OR a.r.test = 'judge') AND a.beyond THEN 'beyond rewards.candidates' END
            )
        END AS reason,
        CASE
            WHEN a.r.test = 'judge' THEN CASE a.label WHEN 'bad' THEN 'deviated' WHEN 'good' THEN 'not_deviated' ELSE 'undecided' END
            WHEN NOT a.r.needs_rewards THEN 'deviated'
            WHEN a.r.test = 'evidence' THEN CASE
                WHEN a.stricter_rate THEN 'undecided'
                ELSE verdict_by_evidence(a.c.gap_low, a.c.gap_high, a.new_delta, a.new_drop)
            END
            WHEN a.r.test = 'posterior' THEN CASE
                WHEN with_drops THEN verdict_by_posterior(a.c.drop_probability, a.new_probability)
                WHEN a.own_posterior AND a.c.verdict <> 'filtered' THEN a.c.verdict
                ELSE 'undecided'
            END
            ELSE coalesce(settled_verdict(
                least_mean(a.c.reference_reward, a.c.reference_n, a.before, a.wanted),
                most_mean(a.c.reference_reward, a.c.reference_n, a.before, a.wanted),
                least_mean(a.c.explored_reward, a.c.explored_n, a.after, a.wanted),
                most_mean(a.c.explored_reward, a.c.explored_n, a.after, a.wanted), a.new_delta, a.r.strict
            ), 'undecided')
        END AS outcome
    FROM summed a
), firsts AS (  -- the first deviation of each task
    SELECT d.c.round AS round, d.c.task_id AS task_id, min(d.c.step_index) AS step
    FROM decided d WHERE d.reason IS NULL AND d.outcome = 'deviated'
    GROUP BY ALL
), ordered AS (
    SELECT
        d.*, f.step AS first_step,
        CASE
            WHEN d.reason IS NOT NULL THEN d.reason
            WHEN d.s.in_order AND d.r.first_only AND d.r.needs_rewards AND d.c.step_index > f.step
                THEN 'after the first deviation'
        END AS filtered
    FROM decided d
    LEFT JOIN firsts f ON f.round = d.c.round AND f.task_id = d.c.task_id
), judged AS (
    SELECT
        f.*,
        CASE
            WHEN f.filtered = 'stored by an older version' THEN NULL
            WHEN f.filtered IS NOT NULL THEN 'filtered'
            ELSE f.outcome
        END AS new_verdict,
        CASE
            WHEN f.filtered IS NOT NULL THEN f.filtered
            WHEN f.r.test = 'judge' THEN CASE
                WHEN NOT f.judged THEN 'not judged'
                ELSE coalesce('judged ' || f.label, 'no usable judgement')
            END
            WHEN NOT f.r.needs_rewards THEN 'differs in a failed run'
            WHEN f.outcome = 'undecided' AND f.c.reference_reward IS NULL AND f.c.explored_reward IS NULL
                THEN 'no rollouts'
            WHEN f.r.test = 'means' THEN CASE
                WHEN f.outcome = 'undecided' THEN 'too few rollouts'
                ELSE CASE WHEN f.outcome = 'deviated' THEN '' ELSE 'not ' END
                    || CASE WHEN f.r.strict THEN 'gap < delta' ELSE 'gap <= delta' END
            END
            WHEN f.r.test = 'posterior' THEN CASE
                WHEN f.outcome = 'deviated' THEN 'P(drop) > p'
                WHEN f.outcome = 'not_deviated' THEN 'not P(drop) > p'
                WHEN with_drops OR f.own_posterior THEN 'too few rollouts'
                ELSE 'P(drop) is not known'
            END
            WHEN f.outcome = 'deviated' THEN 'a drop is proven'
            WHEN f.outcome = 'not_deviated' THEN 'no drop that matters'
            WHEN f.other_rate THEN 'another error rate'
            ELSE 'the rollouts prove neither'
        END AS new_rule
    FROM ordered f
)
SELECT
    unnest(j.c), j.new_preset, j.new_delta, j.new_verdict, j.new_rule,
    j.new_verdict = 'deviated' AND (NOT j.r.first_only OR j.c.step_index = j.first_step) AS new_selected
FROM judged j;

COMMENT ON MACRO words IS 'An action with its white space as single blanks: what equal actions are compared by';
COMMENT ON MACRO verdict_by_means IS 'Eq. 5 on the means: deviated or not_deviated, NULL where the gap is unknown';
COMMENT ON MACRO verdict_by_evidence IS 'What the interval of the gap proves: deviated, not_deviated or undecided';
COMMENT ON MACRO verdict_by_posterior IS 'Whether a drop of this probability is a deviation: deviated, not_deviated, or undecided where it is unknown';
COMMENT ON MACRO least_mean IS 'The least that the mean of `wanted` outcomes can come to, n of which are known';
COMMENT ON MACRO most_mean IS 'The most that the mean of `wanted` outcomes can come to, n of which are known';
COMMENT ON MACRO settled_verdict IS 'Eq. 5 on the means, where outcomes that are still missing cannot change it: deviated or not_deviated, else NULL';
COMMENT ON MACRO filter_reason IS 'Why a comparison can never be used under a preset; NULL where it can';
COMMENT ON MACRO TABLE what_if IS 'Every comparison of a run as step_reward_gaps has it, and its verdict under another rule: new_preset, new_delta, new_verdict, new_rule, new_selected. No rollout is made; what is not given stays as the run had it';
