"""Plays our server with the package's own client: python client.py URL, with {"reset": {...}, "actions": [...]} for
each session on stdin. All sessions at once. Prints what each was answered."""

import asyncio
import json
import sys
from typing import Any

from openenv.core.generic_client import GenericEnvClient


async def play(url: str, wanted: dict[str, Any]) -> dict[str, Any]:
    async with GenericEnvClient(base_url=url) as client:
        answers = [await client.reset(**wanted["reset"])]
        for action in wanted["actions"]:
            answers.append(await client.step({"command": action}))
        told = [[one.observation["text"], one.observation["valid"], one.reward, one.done] for one in answers]
        return {"told": told, "state": await client.state()}


async def main() -> None:
    sessions = json.load(sys.stdin)
    print(json.dumps(await asyncio.gather(*(play(sys.argv[1], wanted) for wanted in sessions))))


asyncio.run(main())
