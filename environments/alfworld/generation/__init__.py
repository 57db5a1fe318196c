"""The world `alfworld-generated`: new games drawn at random, written as official game files."""
