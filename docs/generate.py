"""The reference pages that are made from the code: ``python -m docs.generate`` writes them."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path

from search.commands import COMMANDS
from search.commands.options import Declared, declared
from search.config import TrainConfig
from search.errors import flag

DOCS = Path(__file__).parent

SHARED = 2
"""An option that so many commands have, in the same words, stands once."""


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
        "Exit status: 0 done; 1 the run failed; 2 the words or the space file are wrong; 3 the storage, the disk or",
        "the cluster; 130 interrupted, 143 terminated: the same command goes on.",
        "`search --version` prints the version.\n",
        "Environment variables stand beside the option that they give.\n",
        "| command | what it does |\n|---|---|",
    ]
    lines += [f"| `search {name}` | {(inspect.getdoc(verb) or '').splitlines()[0]} |" for name, verb in verbs.items()]
    tables = {
        name: [(_name(described), _option(described)) for described in options if not described.help.python]
        for name, verb in verbs.items()
        for options in [declared(inspect.get_annotations(verb)["options"])]
    }
    uses = Counter(option for options in tables.values() for option in options)
    common = {
        option: None
        for options in tables.values()
        for option in options
        if option[0][0] == "-" and uses[option] >= SHARED
    }
    head = "| option | default | meaning |\n|---|---|---|"
    lines += ["\n## Options of several commands\n", head, *(row for _, row in common)]
    for name, options in tables.items():
        lines += [f"\n## search {name}\n", head, *(row for word, row in options if (word, row) not in common)]
        if also := [f"`{word}`" for word, row in options if (word, row) in common]:
            lines.append(f"\nAlso {', '.join(also)}.")
    return "\n".join(lines) + "\n"


def _name(described: Declared) -> str:
    return (
        flag(described.field.name)
        if described.field.kw_only
        else described.help.metavar or described.field.name.upper()
    )


def _option(described: Declared) -> str:
    """One option's row in a table."""
    told, default = described.help, described.field.default
    word = " ".join(part for part in (_name(described), told.metavar if described.field.kw_only else None) if part)
    shown = "" if default in (MISSING, None, False, ()) else f"`{default}`"
    text = told.text + (f" Variable: `{told.envvar}`." if told.envvar else "")
    cells = (f"`{'...' if told.rest else word}`", shown, text)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


PAGES: dict[str, Callable[[], str]] = {"reference/cli.md": commands, "reference/settings.md": settings}
"""Path in docs/ to the function that makes the page."""


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
