"""ALFWorld: the rules, the official games, a generator of new ones, and an expert. Registers both worlds."""

from environments.alfworld.generator import GeneratedAlfworld
from environments.alfworld.real import RealAlfworld
from environments.registry import register

register("alfworld", RealAlfworld)
register("alfworld-generated", GeneratedAlfworld)
