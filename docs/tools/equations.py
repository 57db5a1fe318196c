"""Equations of the site: fenced blocks ```math, which GitHub draws itself, become MathML, which browsers draw."""

from __future__ import annotations

from typing import Any

from latex2mathml.converter import convert


def mathml(source: str, language: str, css_class: str, options: Any, md: Any, **more: Any) -> str:
    """A fence of pymdownx.superfences."""
    return f'<div class="equation">{convert(source, display="block")}</div>'
