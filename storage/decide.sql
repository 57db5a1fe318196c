-- Verdicts under another rule, from the stored evidence alone: what steca.deviation does, in SQL.
-- Its presets are the view deviation_presets, made from the Python ones (storage.presets); wording and order of the
-- filters are those of `prefilter`, `decide` and `judge`, which tests/test_decide.py holds them to.

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

-- What the rollouts prove: gap_low and gap_high are the ends of the interval of the gap.
CREATE OR REPLACE MACRO verdict_by_evidence(gap_low, gap_high, delta, smallest_drop) AS
    CASE
        WHEN gap_low IS NULL OR gap_high IS NULL THEN NULL
        WHEN gap_high <= delta::DOUBLE + tie() THEN 'deviated'
        WHEN gap_low >= delta::DOUBLE - smallest_drop::DOUBLE - tie() THEN 'not_deviated'
        ELSE 'undecided'
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
-- under the other rule new_preset, new_delta, new_verdict, new_rule, new_selected.
-- What is not given stays as the run had it. `comparisons` may name any relation with the columns of step_reward_gaps.
--   new_rule 'no rollouts'                 the rule needs rewards that nobody scored: new rollouts would have to say
--   new_rule 'another error rate'          the stored interval was made at another one; `steca what-if` makes it anew
--   new_verdict NULL                       stored by an older version, which did not keep what the filters look at
CREATE OR REPLACE MACRO what_if(
    run, preset := NULL, delta := NULL, smallest_drop := NULL, error_rate := NULL, comparisons := 'step_reward_gaps'
) AS TABLE
WITH asked AS (
    SELECT
        c, r, coalesce(preset, c.preset) AS new_preset, coalesce(delta, c.delta)::DOUBLE AS new_delta,
        coalesce(
            smallest_drop, json_extract_string(runs.config, '$.deviation.smallest_drop')::DOUBLE, r.smallest_drop
        )::DOUBLE AS new_drop,
        error_rate::DOUBLE <> c.error_rate AS other_rate
    FROM query_table(comparisons) c
    LEFT JOIN runs ON runs.run_id = c.run_id
    LEFT JOIN deviation_presets r ON r.preset = coalesce(preset, c.preset)
    WHERE c.run_id = run
), filtered AS (
    SELECT
        a.*,
        CASE
            WHEN a.r.preset IS NULL THEN error(
                'no deviation preset is called ' || a.new_preset || '; known: '
                || (SELECT string_agg(known.preset, ', ') FROM deviation_presets known)
            )
            WHEN a.c.explored_success IS NULL OR a.c.similarity IS NULL OR a.c.continues IS NULL
                THEN 'stored by an older version'
            ELSE filter_reason(a.c, a.r)
        END AS reason,
        CASE
            WHEN NOT a.r.needs_rewards THEN 'deviated'
            WHEN a.r.test = 'means' THEN verdict_by_means(a.c.gap, a.new_delta, a.r.strict)
            WHEN a.other_rate THEN 'undecided'
            ELSE verdict_by_evidence(a.c.gap_low, a.c.gap_high, a.new_delta, a.new_drop)
        END AS decided
    FROM asked a
), judged AS (
    SELECT
        f.*,
        CASE
            WHEN f.reason = 'stored by an older version' THEN NULL
            WHEN f.reason IS NOT NULL OR f.decided IS NULL THEN 'filtered'
            ELSE f.decided
        END AS new_verdict,
        CASE
            WHEN f.reason IS NOT NULL THEN f.reason
            WHEN f.decided IS NULL THEN 'no rollouts'
            WHEN NOT f.r.needs_rewards THEN 'differs in a failed run'
            WHEN f.r.test = 'means'
                THEN CASE WHEN f.decided = 'deviated' THEN '' ELSE 'not ' END
                    || CASE WHEN f.r.strict THEN 'gap < delta' ELSE 'gap <= delta' END
            WHEN f.other_rate THEN 'another error rate'
            WHEN f.decided = 'deviated' THEN 'a drop is proven'
            WHEN f.decided = 'not_deviated' THEN 'no drop that matters'
            ELSE 'the rollouts prove neither'
        END AS new_rule
    FROM filtered f
)
SELECT
    unnest(j.c), j.new_preset, j.new_delta, j.new_verdict, j.new_rule,
    j.new_verdict = 'deviated' AND (
        NOT j.r.first_only
        OR row_number() OVER (
            PARTITION BY j.c.round, j.c.task_id, j.new_verdict ORDER BY j.c.step_index, j.c.deviation_id
        ) = 1
    ) AS new_selected
FROM judged j;
