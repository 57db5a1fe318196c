"""The world `openenv`: plays the environment of any OpenEnv server. `serving/` is the other direction: our worlds as
such a server.

The protocol, as the package `openenv` 0.10 speaks it: one WebSocket (`/ws`) is one session with an environment of its
own. Each message {"type", "data"} is answered by one: `reset` and `step` by an `observation` ({"observation", "reward",
"done"}), `state` by a `state`, what cannot be done by an `error` ({"message", "code"}). What an action and an
observation look like is in `GET /schema`, name and version are in `GET /metadata`, and tasks, where there are any, are
below `/{name}/`.
"""
