"""Whether a text has too many brackets in one another for a parser that takes long for them and cannot be stopped."""

from __future__ import annotations


def nests_deeper(text: str, most: int) -> bool:
    """Whether more than `most` brackets are open at once. Those in strings and comments count too."""
    depth = 0
    for letter in text:
        if letter in "([{":
            depth += 1
            if depth > most:
                return True
        elif letter in ")]}" and depth:
            depth -= 1
    return False
