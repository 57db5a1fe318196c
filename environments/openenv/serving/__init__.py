"""Our worlds as OpenEnv servers: the protocol of `environments/openenv/`, spoken by an application of our own.

The text of an action is the field `command`, that of an observation `text`, and `valid` says whether the action had an
effect. The reward is the score so far, in [0, 1]: that of the last step is the outcome of the episode.
"""
