"""A house with a parcel in one of its rooms: find it, and bring it where it belongs."""

from collections.abc import Sequence
from itertools import permutations
from random import Random
from zlib import crc32

from environments.base import StepResult, Task
from steca.types import Step, Turn

ROOMS = ["attic", "bathroom", "bedroom", "cellar", "garage", "hall"]
ROOMS += ["kitchen", "library", "office", "pantry", "studio", "workshop"]
SPLITS = ["train"] * 7 + ["validation", "seen", "unseen"]


class World:
    version = "1"  # raise it whenever the same task and actions may give another result

    def tasks(self, split: str, count: int, seed: int) -> list[Task]:
        pool = [" ".join(rooms) for rooms in permutations(ROOMS, 3)]  # start, parcel, goal
        pool = [rooms for rooms in pool if SPLITS[crc32(rooms.encode()) % 10] == split]
        Random(f"{split} {seed}").shuffle(pool)
        return [Task(rooms.replace(" ", "-"), payload=rooms) for rooms in pool[:count]]

    def environment(self) -> "House":
        return House()


class House:
    def reset(self, task: Task, seed: int) -> str:
        self.here, self.parcel, self.goal = task.payload.split()
        return f"You are in the {self.here}. Rooms: {', '.join(ROOMS)}. Your task: bring the parcel to the {self.goal}."

    def step(self, action: str) -> StepResult:
        verb, _, what = action.partition(" ")
        if verb == "enter" and what in ROOMS and what != self.here:
            self.here = what
            return StepResult(f"You are in the {what}." + " The parcel is here." * (self.parcel == what))
        if action == "take parcel" and self.parcel == self.here:
            self.parcel = "bag"
            return StepResult("You take the parcel.")
        if action == "drop parcel" and self.parcel == "bag":
            self.parcel, won = self.here, self.here == self.goal
            return StepResult(f"You drop the parcel in the {self.here}.", float(won), done=won)
        return StepResult("Nothing happens.", valid=False)

    # What follows is a capability, and may be left out: then name recorded runs in environment.demonstrations.

    def expert_turn(self, first_observation: str, steps: Sequence[Step]) -> Turn | None:
        goal = first_observation.split()[-1].rstrip(".")
        seen = [first_observation, *(step.observation for step in steps)]
        here = [text.split()[4] for text in seen if text.startswith("You are in the ")][-1].rstrip(".")
        moved = [text for text in seen if text.startswith(("You take", "You drop"))]
        if moved and moved[-1] == "You take the parcel.":
            if here == goal:
                return Turn(f"I have the parcel, and this is the {goal}.", "drop parcel")
            return Turn(f"I have the parcel. It belongs in the {goal}.", f"enter {goal}")
        dropped = moved and moved[-1] == f"You drop the parcel in the {here}."
        if dropped or "The parcel is here." in seen[-1]:
            return Turn("The parcel is here: I take it.", "take parcel")
        entered = {step.action.removeprefix("enter ") for step in steps} | {here}
        left = [room for room in ROOMS if room not in entered]
        return Turn(f"I have not looked in the {left[0]} yet.", f"enter {left[0]}") if left else None
