"""The reference pages that are made from the code: ``python -m docs.generate`` writes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path

from search.commands import COMMANDS
from search.commands.options import Declared, declared
from search.config import TrainConfig
from search.errors import flag

DOCS = Path(__file__).parent


def settings() -> str:
    """The page of the trainer's settings, from the fields of TrainConfig."""
    rows = [
        f"| `{name}` | {'' if field.is_required() else f'`{field.get_default()!r}`'} | {field.description} |"
        for name, field in TrainConfig.model_fields.items()
    ]
    head = (
        "# Settings\n\nThese settings of the built-in training are the fields of `TrainConfig` in `search/config.py`.\n"
        "A setting without a default must stand in the space. [Techniques](techniques.md) says where each comes from.\n"
    )
    return "\n".join([head, "| setting | default | meaning |", "|---|---|---|", *rows]) + "\n"


def commands() -> str:
    """The page of the command line, from the options that each verb declares."""
    verbs = {verb.__name__.rstrip("_"): verb for verb in COMMANDS}
    lines = [
        "# Command line\n\nEach has `--help`. [From Python](../python.md) has the same commands as functions.\n",
        "Exit status: 0 done; 1 the run failed; 2 the words or the space file are wrong; 3 the storage or the disk;",
        "130 interrupted, 143 terminated: the same command goes on. `search --version` prints the version.\n",
        "Environment variables stand beside the option that they give.\n",
        "| command | what it does |\n|---|---|",
    ]
    lines += [f"| `search {name}` | {(inspect.getdoc(verb) or '').splitlines()[0]} |" for name, verb in verbs.items()]
    for name, verb in verbs.items():
        lines += [f"\n## search {name}\n", "| option | default | meaning |\n|---|---|---|"]
        options = declared(inspect.get_annotations(verb)["options"])
        lines += [_option(described) for described in options if not described.help.python]
    return "\n".join(lines) + "\n"


def _option(described: Declared) -> str:
    """One option's row in a table."""
    told, name, default = described.help, described.field.name, described.field.default
    word = flag(name) if described.field.kw_only else told.metavar or name.upper()
    word = " ".join(part for part in (word, told.metavar if described.field.kw_only else None) if part)
    shown = "" if default in (MISSING, None, False, ()) else f"`{default}`"
    text = told.text + (f" Variable: `{told.envvar}`." if told.envvar else "")
    cells = (f"`{'...' if told.rest else word}`", shown, text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


PAGES: dict[str, Callable[[], str]] = {"reference/cli.md": commands, "reference/settings.md": settings}
"""Path in docs/ to the function that makes the page."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
