"""A toy world in the format of ALFWorld's games: a domain, problems and two dialects of grammar."""

from __future__ import annotations

import json
from pathlib import Path

DOMAIN = """
(define (domain toy)  ; comments go
 (:requirements :adl :typing)
 (:types agent location receptacle object rtype otype)
 (:predicates
    (atLocation ?a - agent ?l - location)
    (receptacleAtLocation ?r - receptacle ?l - location)
    (inReceptacle ?o - object ?r - receptacle)
    (openable ?r - receptacle) (opened ?r - receptacle)
    (holds ?a - agent ?o - object) (holdsAny ?a - agent)
    (receptacleType ?r - receptacle ?t - rtype) (objectType ?o - object ?t - otype)
    (isOn ?o - object) (checked ?r - receptacle))
 (:functions (total-cost) - number)
 (:action goto :parameters (?a - agent ?from - location ?to - location ?r - receptacle)
    :precondition (and (atLocation ?a ?from) (receptacleAtLocation ?r ?to))
    :effect (and (not (atLocation ?a ?from)) (atLocation ?a ?to) (increase (total-cost) 1)))
 (:action open :parameters (?a - agent ?l - location ?r - receptacle)
    :precondition (and (openable ?r) (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (not (opened ?r)))
    :effect (and (opened ?r) (checked ?r)))
 (:action take :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (inReceptacle ?o ?r)
                       (not (holdsAny ?a)) (or (not (openable ?r)) (opened ?r)))
    :effect (and (not (inReceptacle ?o ?r)) (holds ?a ?o) (holdsAny ?a)))
 (:action put :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and (holds ?a ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
                       (or (not (openable ?r)) (opened ?r)))
    :effect (and (inReceptacle ?o ?r) (not (holds ?a ?o)) (not (holdsAny ?a))))
 (:action switch :parameters (?a - agent ?o - object)
    :precondition (holds ?a ?o)
    :effect (and (when (isOn ?o) (not (isOn ?o))) (when (not (isOn ?o)) (isOn ?o))))
 (:action study :parameters (?a - agent ?o - object)
    :precondition (or (exists (?l - location ?r - receptacle)
                         (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (inReceptacle ?o ?r)))
                      (holds ?a ?o))
    :effect (and (checked ?o)))
 (:action look :parameters (?a - agent ?l - location) :precondition (and (atLocation ?a ?l))
    :effect (and (checked ?l))))
"""

GOAL = """(exists (?o1 - object ?r - receptacle) (and (objectType ?o1 CupType) (receptacleType ?r BoxType)
    (inReceptacle ?o1 ?r) (exists (?o2 - object) (and (not (= ?o1 ?o2)) (objectType ?o2 CupType)
    (inReceptacle ?o2 ?r)))))"""

PROBLEM = """
(define (problem toy-1) (:domain toy)
 (:objects agent1 - agent hall - location loc_bar_1 - location loc_bar_2 - location
    Shelf_bar_a - receptacle Shelf_bar_B - receptacle Box_bar_a - receptacle
    Cup_bar_1 Cup_bar_2 Lamp_bar_1 - object ShelfType BoxType - rtype CupType LampType - otype)
 (:init (atLocation agent1 hall)
    (receptacleAtLocation Shelf_bar_a loc_bar_1) (receptacleAtLocation Shelf_bar_B loc_bar_1)
    (receptacleAtLocation Box_bar_a loc_bar_2) (openable Box_bar_a)
    (receptacleType Shelf_bar_a ShelfType) (receptacleType Shelf_bar_B ShelfType)
    (receptacleType Box_bar_a BoxType)
    (objectType Cup_bar_1 CupType) (objectType Cup_bar_2 CupType) (objectType Lamp_bar_1 LampType)
    (inReceptacle Cup_bar_1 Shelf_bar_a) (inReceptacle Cup_bar_2 Shelf_bar_a)
    (inReceptacle Lamp_bar_1 Shelf_bar_B) (isOn Lamp_bar_1))
 (:goal (and @GOAL@)))
""".replace("@GOAL@", GOAL)

SYMBOLS = {
    "intro": [{"rhs": "Welcome.\n\n#look.feedback#\n\nYour task is to: fill the box."}],
    "look.feedback": [
        {
            "condition": "atlocation(a:agent, l:location) & receptacleatlocation(r:receptacle, l:location)",
            "rhs": "You face the [{r.name | atlocation(a:agent, l:location) & "
            "receptacleatlocation(r:receptacle, l:location)}]. Missing: [{o.name | "
            "receptacleatlocation(r:receptacle, l:location) & not_inreceptacle(o:object, r:receptacle)}].",
        },
        {"rhs": "You see [{#item(r)# | receptacleatlocation(r:receptacle, l:location)}]."},
    ],
    "item(r)": [{"rhs": "{r.indefinite} {r.name or r.id}"}],
    "goto.feedback": [{"rhs": "You arrive at {to.name}. #inside#"}],
    "open.feedback": [{"rhs": "You open the {r.name}. #inside#"}],
    "inside": [
        {"condition": "openable(r:receptacle) & opened(r:receptacle)", "rhs": "In it, #content#."},
        {"condition": "openable(r:receptacle)", "rhs": "The {r.name} is closed."},
        {"rhs": "On the {r.name}, #content#."},
    ],
    "content": [{"rhs": "you see [{o.indefinite + ' ' + o.name | inreceptacle(o:object, r:receptacle)}]"}],
    "list_empty": [{"rhs": "nothing"}],
    "list_separator": [{"rhs": ", "}],
    "list_last_separator": [{"rhs": ", and "}],
}
ACTIONS = {
    "goto": ("go to [{r.name | receptacleatlocation(r:receptacle, to:location)}]", "#goto.feedback#"),
    "open": ("open {r}", "#open.feedback#"),
    "take": ("take {o} from {r}", "You take the {o.name}."),
    "put": ("put {o} in/on {r}", "You put the {o.name} in/on the {r.name}."),
    "switch": ("use {o}", "Click."),
    "study": ("examine {o}", "It is the {o.name}."),
    "look": ("look", "#look.feedback#"),
}
NEWER = {**ACTIONS, "put": ("move {o} to {r}", "You move the {o.name} to the {r.name}.")}


def grammar(actions: dict[str, tuple[str, str]] = ACTIONS) -> str:
    blocks = [f'grammar :: """\n{json.dumps(SYMBOLS, indent=1)}\n""";']
    for name, (template, feedback) in actions.items():
        blocks.append(f'action {name} {{\n  template :: "{template}";\n  feedback :: "{feedback}";\n}}')
    return "\n\n".join(blocks)


def write_game(folder: Path, **changes: object) -> Path:
    """A toy game in the official file layout; returns its game.tw-pddl."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"pddl_domain": DOMAIN, "pddl_problem": PROBLEM, "grammar": grammar(), "solvable": True, **changes}
    file = folder / "game.tw-pddl"
    file.write_text(json.dumps(data))
    return file


WINNING = [
    "go to shelf 1",
    "take cup 1 from shelf 2",
    "go to box 1",
    "open box 1",
    "put cup 1 in/on box 1",
    "go to shelf 2",
    "take cup 2 from shelf 2",
    "go to box 1",
    "put cup 2 in/on box 1",
]
