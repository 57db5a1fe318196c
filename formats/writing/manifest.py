"""The manifest of an export, by which the export is known again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.json_text import parse_json

MANIFEST = "manifest.json"
MADE_BY = "steca export"


def manifest_of(out: Path) -> dict[str, Any] | None:
    """The manifest in a folder; None where there is none, or another program's."""
    try:
        manifest = parse_json((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("made_by") == MADE_BY else None
