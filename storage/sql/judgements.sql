-- A language model as step judge, beside the rollouts of the same turns.

CREATE OR REPLACE VIEW judged_turns AS
WITH judged AS (  -- wanted: N, of which the means are taken. A side that has more counts with all it has
    SELECT
        j.*, d.* EXCLUDE (run_id, round, task_id, step_index, provenance),
        coalesce(json_extract_string(n.config, '$.rewards.rollouts')::BIGINT, d.reference_n, d.explored_n) AS wanted
    FROM run_judgements j
    JOIN run_deviations d
        ON d.run_id = j.run_id AND d.round = j.round AND d.explored_trajectory_id = j.trajectory_id
        AND d.step_index = j.step_index
    LEFT JOIN run_configs n ON n.run_id = j.run_id
), summed AS (
    SELECT
        *, reference_reward * reference_n AS before, greatest(wanted, reference_n) AS wanted_before,
        explored_reward * explored_n AS after, greatest(wanted, explored_n) AS wanted_after
    FROM judged
)
SELECT
    run_id, round, deviation_id, task_id, step_index, expert_action, explored_action, label, reason, model, attempts,
    reference_n, explored_n, gap, gap_low, gap_high, delta,
    settled_verdict(
        least_mean(reference_reward, reference_n, before, wanted_before),
        most_mean(reference_reward, reference_n, before, wanted_before),
        least_mean(explored_reward, explored_n, after, wanted_after),
        most_mean(explored_reward, explored_n, after, wanted_after), delta, true
    ) AS verdict_by_means, preset, verdict, selected
FROM summed;
COMMENT ON VIEW judged_turns IS
    'The explored turns of a run that a language model judged, with what the rollouts of the same turns say: one row a turn';
COMMENT ON COLUMN judged_turns.verdict_by_means IS 'Eq. 5 on the means of N rollouts (rewards.rollouts): deviated where gap < delta, else not_deviated; NULL where there are fewer and the missing ones could change it';

CREATE OR REPLACE VIEW judge_agreement AS
WITH counts AS (
    SELECT
        run_id, round, model, count_if(label IS NOT NULL AND verdict_by_means IS NOT NULL) AS n,
        count_if(label IS NULL AND verdict_by_means IS NOT NULL) AS unusable,
        count_if(label IS NOT NULL AND verdict_by_means IS NULL) AS not_comparable,
        count_if(label = 'bad' AND verdict_by_means IS NOT NULL) AS bad,
        count_if(label IS NOT NULL AND verdict_by_means = 'deviated') AS deviated,
        count_if(label = 'bad' AND verdict_by_means = 'deviated') AS shared
    FROM judged_turns GROUP BY ALL
), shares AS (  -- expected: the agreement of two judges that are independent and call as many turns bad as these two
    SELECT
        *, n - bad - deviated + 2 * shared AS agreed,
        (bad * deviated + (n - bad) * (n - deviated)) / nullif(n * n, 0) AS expected
    FROM counts
)
SELECT
    run_id, round, model, n, unusable, agreed, agreed / nullif(n, 0) AS agreement,
    wilson_low(agreed, n) AS agreement_low, wilson_high(agreed, n) AS agreement_high,
    (agreed / nullif(n, 0) - expected) / nullif(1 - expected, 0) AS kappa, bad, deviated,
    shared / nullif(deviated, 0) AS bad_of_deviated, (bad - shared) / nullif(n - deviated, 0) AS bad_of_not_deviated,
    not_comparable
FROM shares;
COMMENT ON VIEW judge_agreement IS
    'How far a language model agrees with the means of the rollouts (eq. 5) about the turns of a run for which both say something. The means are noisy themselves: with few rollouts even a perfect judge disagrees with some';
COMMENT ON COLUMN judge_agreement.n IS 'Turns with a usable label and a verdict by the means (judged_turns.verdict_by_means)';
COMMENT ON COLUMN judge_agreement.unusable IS 'Further turns with a verdict by the means for which no reply of the model was usable';
COMMENT ON COLUMN judge_agreement.agreed IS 'Turns of n that are bad and deviated, or good and not deviated';
COMMENT ON COLUMN judge_agreement.agreement IS 'agreed / n';
COMMENT ON COLUMN judge_agreement.agreement_low IS 'Lower end of the 95 % Wilson interval of the agreement, as if turns were independent';
COMMENT ON COLUMN judge_agreement.agreement_high IS 'Upper end of the 95 % Wilson interval of the agreement, as if turns were independent';
COMMENT ON COLUMN judge_agreement.kappa IS 'Cohen''s kappa: (agreement - expected) / (1 - expected), where expected is the agreement by chance. 1: perfect, 0: as by chance; NULL where both call all turns the same';
COMMENT ON COLUMN judge_agreement.bad IS 'Turns of n that the model calls bad';
COMMENT ON COLUMN judge_agreement.deviated IS 'Turns of n that are deviated by the means';
COMMENT ON COLUMN judge_agreement.bad_of_deviated IS 'Share of bad among the turns that are deviated by the means';
COMMENT ON COLUMN judge_agreement.bad_of_not_deviated IS 'Share of bad among the turns that are not deviated by the means';
COMMENT ON COLUMN judge_agreement.not_comparable IS 'Further turns with a usable label but too few rollouts for a verdict by the means, or none. rewards.mode=fixed plays N for every turn';

CREATE OR REPLACE VIEW judge_agreement_by_gap AS
WITH binned AS (
    SELECT *, least(floor((gap + tie()) / 0.2), 4)::BIGINT AS bin
    FROM judged_turns WHERE verdict_by_means IS NOT NULL AND gap IS NOT NULL AND label IS NOT NULL
)
SELECT
    run_id, round, model, bin / 5 AS gap_from, (bin + 1) / 5 AS gap_to,
    count(*) AS n, count_if(label = 'bad') AS bad, count_if(label = 'bad') / count(*) AS bad_share,
    wilson_low(count_if(label = 'bad'), count(*)) AS low, wilson_high(count_if(label = 'bad'), count(*)) AS high
FROM binned GROUP BY run_id, round, model, bin ORDER BY run_id, round, model, bin;
COMMENT ON VIEW judge_agreement_by_gap IS
    'How often a language model calls a turn bad, by the gap between the means of the rollouts: one row a bin of width 0.2';
COMMENT ON COLUMN judge_agreement_by_gap.gap_from IS 'The gaps of the bin are this large or larger';
COMMENT ON COLUMN judge_agreement_by_gap.gap_to IS 'The gaps of the bin are smaller; the last bin holds 1 too';
COMMENT ON COLUMN judge_agreement_by_gap.n IS 'Turns of the bin with a usable label';
COMMENT ON COLUMN judge_agreement_by_gap.bad IS 'Turns of the bin that the model calls bad';
COMMENT ON COLUMN judge_agreement_by_gap.bad_share IS 'bad / n';
COMMENT ON COLUMN judge_agreement_by_gap.low IS 'Lower end of the 95 % Wilson interval of bad_share';
COMMENT ON COLUMN judge_agreement_by_gap.high IS 'Upper end of the 95 % Wilson interval of bad_share';
