"""Every kind of input that comes from outside, with the boundary that reads it."""

from __future__ import annotations

from tests.fuzz.games import GAMES
from tests.fuzz.replies import REPLIES
from tests.fuzz.runs import RUNS
from tests.fuzz.settings import SETTINGS
from tests.fuzz.sql import SQL
from tests.fuzz.stored import STORED

KINDS = {kind.name: kind for kind in (*SETTINGS, *RUNS, *GAMES, *STORED, *REPLIES, *SQL)}
