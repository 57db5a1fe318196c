-- Paired differences of the mean reward too. Refilled from the comparison files.

DROP TABLE comparison_differences;
CREATE TABLE comparison_differences (
    comparison VARCHAR NOT NULL,
    arm VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    start VARCHAR NOT NULL,
    seeds BIGINT[] NOT NULL,
    pairs BIGINT NOT NULL,
    difference DOUBLE NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE NOT NULL,
    measure VARCHAR NOT NULL,
    PRIMARY KEY (comparison, arm, split, start, measure)
);
COMMENT ON TABLE comparison_differences IS 'Success rate and mean reward of each arm minus that of the reference on the same tasks of the same seeds, as steca compare computed it last';
COMMENT ON COLUMN comparison_differences.comparison IS 'Name of the comparison';
COMMENT ON COLUMN comparison_differences.arm IS 'Name of the arm; warm-up is the policy that the arms start from';
COMMENT ON COLUMN comparison_differences.reference IS 'The arm that it is compared with';
COMMENT ON COLUMN comparison_differences.split IS 'Split that the tasks belong to';
COMMENT ON COLUMN comparison_differences.start IS 'Where the episodes start, as in evaluations';
COMMENT ON COLUMN comparison_differences.seeds IS 'Seeds that both arms have';
COMMENT ON COLUMN comparison_differences.pairs IS 'Pairs of episodes on the same task, over all seeds';
COMMENT ON COLUMN comparison_differences.difference IS 'Mean difference; each seed counts the same';
COMMENT ON COLUMN comparison_differences.low IS 'Lower end of its 95 % bootstrap interval over seeds and tasks; over tasks only where there is one seed';
COMMENT ON COLUMN comparison_differences.high IS 'Upper end of the interval';
COMMENT ON COLUMN comparison_differences.measure IS 'What is compared: success, or reward, at the end of the episodes, where rewards are not only 0 and 1';
