"""A compiled game: its rules, its initial state, and the effect of every command.

    game = compile_game(domain, problem, grammar)
    state = game.initial
    state, text = game.apply(state, "go to shelf 1")   # or None: not admissible

A `Game` and its states are immutable and can be shared. In code, entities are PDDL ids in lower case. The texts use
names with a number ("shelf 3"), counted down in the order of the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from environments.alfworld.engine.command import Command, by_first_word, compile_command
from environments.alfworld.engine.facts import Entities, Row, Schema, State
from environments.alfworld.engine.formulas import predicates_of
from environments.alfworld.engine.goal import Goal, compile_goal
from environments.alfworld.engine.grammar import ActionText, parse_grammar
from environments.alfworld.engine.joins import Binding
from environments.alfworld.engine.pddl import And, GameError, parse_domain, parse_problem
from environments.alfworld.engine.start import entities_by_type, initial_state, name_entities, types_of
from environments.alfworld.engine.templates import Writer, parse_segments
from environments.alfworld.texts.dialect import Dialect, dialect_of

__all__ = ["Game", "GameError", "State", "compile_game"]

TASK_MARK = "Your task is to: "


@dataclass(frozen=True)
class Rules:
    """What all games with the same domain and command templates share."""

    schema: Schema
    commands: Mapping[str, list[Command]]  # by the first word of the command


@dataclass(frozen=True, eq=False)
class Game:
    rules: Rules
    writer: Writer
    goal: Goal
    initial: State
    entities: Entities
    names: Mapping[str, str]
    ids: Mapping[str, str]
    receptacle_types: Mapping[str, str]  # receptacle -> "ShelfType"
    object_types: Mapping[str, str]  # object -> "AppleType"

    def intro(self) -> str:
        """The first observation: welcome, the room, the task."""
        return self._intro

    @cached_property
    def _intro(self) -> str:
        return self.writer.write(parse_segments("#intro#"), self.initial, {})

    @cached_property
    def instruction(self) -> str:
        return self.intro().rpartition(TASK_MARK)[2].strip().rstrip(".")

    @cached_property
    def dialect(self) -> Dialect:
        return dialect_of(self.rules.commands)

    def commands(self, state: State) -> list[str]:
        """Every admissible command, sorted."""
        found = set()
        for commands in self.rules.commands.values():
            for command in commands:
                for search in command.free_searches:
                    for known in search(state, {}, self.entities):
                        found.add(self.writer.write(command.template.segments, state, known))
        return sorted(found)

    def apply(self, state: State, command: str) -> tuple[State, str] | None:
        """The state after a command and the feedback text; None if the command is not admissible."""
        words = command.strip()
        for candidate in self.rules.commands.get(words.partition(" ")[0], ()):
            known = self._binding(candidate, state, words)
            if known is not None:
                after = candidate.after(state, known)
                return after, self.writer.write(candidate.feedback, after, known)
        return None

    def _binding(self, candidate: Command, state: State, words: str) -> Binding | None:
        template = candidate.template
        match = template.pattern.fullmatch(words)
        if not match:
            return None
        named = {}
        for variable, name in zip(template.variables, match.groups(), strict=True):
            if name not in self.ids:
                return None
            named[variable] = self.ids[name]
        for search in candidate.named_searches:
            for known in search(state, named, self.entities):
                if template.exact or self.writer.write(template.segments, state, known) == words:
                    return known
        return None

    def won(self, state: State) -> bool:
        return self.goal.reached(state, self.entities)

    def progress(self, state: State) -> float:
        """Share of the goal's changeable conditions that hold, in [0, 1]; 1.0 exactly when won."""
        return self.goal.progress(state, self.entities)

    def holds(self, state: State, predicate: str, *ids: str) -> bool:
        """Whether predicate(ids) is true. Raises GameError for a predicate that no rule of the game reads."""
        return tuple(ids) in state[self.rules.schema.slot(predicate.lower())]

    def facts(self, state: State, predicate: str) -> frozenset[Row]:
        """All ids for which the predicate is true. Raises GameError for one that no rule of the game reads."""
        return state[self.rules.schema.slot(predicate.lower())]


def compile_game(domain: str, problem: str, grammar: str) -> Game:
    """A game from its three texts. Rules are compiled once for equal domains and templates.

    Raises GameError if a text cannot be parsed, names something unknown, or lacks a part."""
    try:
        return _compiled(domain, problem, grammar)
    except GameError:
        raise
    except _STUMBLES as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise GameError(f"the game's texts are not in a form that this interpreter knows ({said})") from error


_STUMBLES = (
    *(TypeError, ValueError, LookupError, AttributeError),  # a list where a name should be, or too few words
    *(RecursionError, SyntaxError, MemoryError),  # conditions or values that are nested too deeply
)


def _compiled(domain: str, problem: str, grammar: str) -> Game:
    texts, task = parse_grammar(grammar), parse_problem(problem)
    templates = tuple(sorted(texts.actions.items()))
    rules = _compile_rules(domain, templates, texts.predicates_read | frozenset(predicates_of(task.goal)))
    names, entities = name_entities(task), entities_by_type(rules.schema.domain, task)
    return Game(
        rules=rules,
        writer=Writer(texts.rules, rules.schema, names, entities),
        goal=_compile_goal(rules.schema, task.goal),
        initial=initial_state(rules.schema, entities, task),
        entities=entities,
        names=names,
        ids={name: entity for entity, name in names.items()},
        receptacle_types=types_of(task, "receptacletype"),
        object_types=types_of(task, "objecttype"),
    )


@lru_cache(maxsize=64)
def _compile_rules(domain: str, templates: tuple[tuple[str, ActionText], ...], read: frozenset[str]) -> Rules:
    """`read`: the predicates that texts and goal read. Predicates that nothing reads have no slot, so states that
    differ in nothing relevant are equal."""
    rules, texts = parse_domain(domain), dict(templates)
    if missing := sorted(rules.actions.keys() - texts.keys()):
        raise GameError(f"the grammar has no template for the PDDL action {missing[0]!r}")
    formulas = [action.precondition for action in rules.actions.values()]
    formulas += [effect.condition for action in rules.actions.values() for effect in action.effects]
    used = predicates_of(And(tuple(formulas)))
    if undeclared := sorted(used - rules.predicates.keys()):
        raise GameError(f"the PDDL domain uses the predicate {undeclared[0]!r} without declaring it")
    fluents = frozenset(
        effect.atom.predicate for action in rules.actions.values() for effect in action.effects
    )
    kept = sorted(used | read | rules.predicates.keys() - fluents)
    schema = Schema({name: slot for slot, name in enumerate(kept)}, fluents, rules)
    return Rules(
        schema,
        by_first_word(compile_command(schema, action, texts[name]) for name, action in rules.actions.items()),
    )


_compile_goal = lru_cache(maxsize=1024)(compile_goal)
