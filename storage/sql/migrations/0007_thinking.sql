-- What models think before their turns: kept beside the turns, and counted.

ALTER TABLE steps ADD COLUMN thinking VARCHAR;
ALTER TABLE steps ADD COLUMN thinking_tokens BIGINT;
ALTER TABLE rollouts ADD COLUMN thinking_tokens BIGINT;
COMMENT ON COLUMN steps.tokens IS 'Tokens the policy generated for the turn, thinking included; 0 for the expert';
COMMENT ON COLUMN rollouts.tokens IS 'Tokens generated, thinking included';
COMMENT ON COLUMN steps.thinking IS 'What the model thought before the turn, no part of any history; NULL where it did not';
COMMENT ON COLUMN steps.thinking_tokens IS 'Of tokens, those of thinking (counted anew where a server wrote it); NULL where there was none';
COMMENT ON COLUMN rollouts.thinking_tokens IS 'Of tokens, those of thinking (counted anew where a server wrote it); NULL where there was none';
