-- The whole curve of a training: what the steps were taken with, beside what they cost.

ALTER TABLE checkpoints ADD COLUMN learning_rates DOUBLE[];
ALTER TABLE checkpoints ADD COLUMN gradient_norms DOUBLE[];
COMMENT ON COLUMN checkpoints.learning_rates IS 'Learning rate of each step; NULL where an older version trained';
COMMENT ON COLUMN checkpoints.gradient_norms IS 'Norm of each step''s gradient before clipping; NULL where an older version trained';
