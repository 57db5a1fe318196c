"""Plays commands in the original code of platoon-textcraft. `textcraft_parity.py` starts it with the interpreter of
another environment, which has that package and nothing of this project.

Reads a JSON line per task: {"synth", "start", "goal", "commands": [[takes, item, pieces, accepted], ...]}. Writes a
JSON line with what came of each command: [accepted, inventory, success]. A command that is said to be refused is tried
on a copy. The last line has the number of steps and the seconds that they took.
"""

import json
import sys
import time

from platoon_textcraft.env import TextCraftEnvironment, TextCraftSynthEnvironment


def main() -> None:
    steps, seconds = 0, 0.0
    for line in sys.stdin:
        task = json.loads(line)
        kind = TextCraftSynthEnvironment if task["synth"] else TextCraftEnvironment
        kind.recipe_db()
        game = kind({"misc": {"target_items": task["goal"], "initial_inventory": task["start"]}})
        answers = []
        for takes, item, pieces, accepted in task["commands"]:
            kept = None if accepted else dict(game.inventory)
            began = time.perf_counter()
            said = game._craft(takes, (item, pieces))
            score, _ = game.evaluate("done")
            seconds += time.perf_counter() - began
            answers.append([said.startswith("Successfully"), dict(game.inventory), score == 1.0])
            game.inventory = game.inventory if kept is None else kept
        steps += len(answers)
        print(json.dumps(answers), flush=True)
    print(json.dumps([steps, seconds]), flush=True)


if __name__ == "__main__":
    main()
