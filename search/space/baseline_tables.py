"""Hand-written tables of results, in Markdown, as baselines CSV."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path

from search.errors import SearchError, first_line
from search.files.atomic import write_whole
from search.format import plural

# Each column of a baselines file, and the other names that people give it, without case, spaces and signs.
_NAMES = {
    "name": "run trial experiment label title",
    "model": "architecture network net arch backbone",
    "pretrained": "weights transfer transferlearning imagenet",
    "trained_layers": "trainedlayers trainlayers layers layerstrained trainablelayers finetuned",
    "lr": "learningrate rate initiallr initiallearningrate",
    "momentum": "mom beta",
    "weight_decay": "weightdecay wd l2 decay",
    "num_epochs": "numepochs epochs epoch numberofepochs nepochs",
    "step_size": "stepsize lrstep stepsizeepochs decayevery",
    "gamma": "lrgamma factor decayfactor",
    "training_loss_at_last_step": "traininglossatlaststep trainingloss trainloss loss lossatlaststep lasttrainingloss",
    "validation_acc": "validationacc validationaccuracy valacc valaccuracy validation val",
    "testing_acc": "testingacc testacc testaccuracy testingaccuracy test testing",
}
_OPTIONAL = {"training_loss_at_last_step": "", "testing_acc": "", "trained_layers": "all", "pretrained": "false"}
_KNOWN = {word: column for column, words in _NAMES.items() for word in (column.replace("_", ""), *words.split())}
_LAYERS = {
    "all": "all everything whole full alllayers none",
    "classifier": "classifier head fc fullyconnected fullyconnectedlayers fc-only classifieronly last",
    "features": "features conv convs convolutional convolutions convolutionallayers featuresonly",
}
_LONG = 500
"""Characters of a cell, at most."""
_EMPTY = ("", "-", "n/a", "na", "?")
_SIGNS = {0x2013: "-", 0x2014: "-", 0x2212: "-", 0xD7: "x", 0xB7: "*"}  # dashes, minus, times


def import_table(source: Path, out: Path) -> list[str]:
    """Write the tables in `source` to `out`, as `search.space.baselines` reads them; what was done, a line each.

    A column that is not known is left out and named. Raises SearchError naming row and column of a cell that is not
    understood, or the column that is missing; then nothing is written.
    """
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SearchError(f"{source}: cannot be read: {first_line(error)}") from None
    rows: list[dict[str, str]] = []
    ignored: list[str] = []
    for head, body in _tables(lines):
        columns = [_KNOWN.get(_plain(cell)) for cell in _split(lines[head])]
        titles = _split(lines[head])
        if "validation_acc" not in columns:
            ignored.append(f"{source}:{head + 1}: a table without validation accuracies: left out")
            continue
        twice = [column for i, column in enumerate(columns) if column is not None and column in columns[:i]]
        if twice:
            raise SearchError(f"{source}:{head + 1}: two columns for {twice[0]}: {', '.join(titles)}")
        unknown = [title for title, column in zip(titles, columns, strict=True) if column is None]
        ignored += [f"{source}:{head + 1}: the column {title!r} is not understood: left out" for title in unknown]
        missing = [
            column for column in _NAMES if column not in columns and column not in _OPTIONAL and column != "name"
        ]
        if missing:
            known = f"{missing[0]}, {_NAMES[missing[0]].replace(' ', ', ')}"
            raise SearchError(f"{source}:{head + 1}: no column for {missing[0]}; it may be called {known}")
        rows += [_row(source, line, columns, titles, _split(lines[line]), len(rows)) for line in body]
    if not rows:
        raise SearchError(f"{source}: no Markdown table with a column for validation accuracy and a row below it")

    def fill(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(_NAMES), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(out, fill)
    return [*ignored, f"wrote {out}: {plural(len(rows), 'row')}"]


def _tables(lines: list[str]) -> Iterator[tuple[int, list[int]]]:
    """Of each table: the index of its first line, and those of its rows."""
    for index, line in enumerate(lines[1:], 1):
        if "|" in lines[index - 1] and {"-", "|"} <= set(line) and not line.strip(" \t|:-"):
            body = []
            for below in range(index + 1, len(lines)):
                if "|" not in lines[below]:
                    break
                body.append(below)
            yield index - 1, body


def _split(line: str) -> list[str]:
    """The cells of a table's line, without emphasis; a bar after a backslash is part of its cell."""
    text = re.sub(r"^\||(?<!\\)\|$", "", line.translate(_SIGNS).strip())
    return [re.sub(r"[*`]|\\(?=\|)", "", cell).strip() for cell in re.split(r"(?<!\\)\|", text)]


def _plain(title: str) -> str:
    """A column's title without case, signs and what stands in brackets: "Validation Acc. (%)" is validationacc."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*?[)\]]", "", title[:_LONG]).lower())


def _row(
    source: Path, line: int, columns: list[str | None], titles: list[str], cells: list[str], before: int
) -> dict[str, str]:
    if len(cells) != len(columns):
        raise SearchError(f"{source}:{line + 1}: {plural(len(cells), 'cell')} under {plural(len(columns), 'column')}")
    if any(len(cell) > _LONG for cell in cells):
        raise SearchError(f"{source}:{line + 1}: a cell of more than {_LONG} characters")
    row = {"name": f"row {before + 1}", **_OPTIONAL}
    for column, title, cell in zip(columns, titles, cells, strict=True):
        if column is not None and (cell.lower() not in _EMPTY or column not in (*_OPTIONAL, "name")):
            row[column] = _cell(f"{source}:{line + 1}: {title}", column, title, cell)
    if "pretrained" not in columns and "pretrained" in row["model"].lower():  # as this project's own table has it
        row |= {"pretrained": "true"}
    row["model"] = re.sub(r"\s*\(.*\)", "", row["model"]).lower().replace("-", "").replace(" ", "")
    return row


def _cell(where: str, column: str, title: str, cell: str) -> str:
    """What the cell means, as a baselines file has it. Raises SearchError beginning with `where`."""
    if column in ("name", "model"):
        return cell
    if column == "pretrained":
        words = {"true": "true yes y 1 default imagenet pretrained x", "false": "false no n 0 none scratch random"}
        return _word(where, cell, words)
    if column == "trained_layers":
        return _word(where, cell, _LAYERS)
    match = re.fullmatch(r"([+-]?[\d.]+(?:e[+-]?\d+)?)\s*(%|epochs?|ep|nats?)?", cell.lower().replace(",", ""))
    power = re.fullmatch(r"(?:([\d.]+)\s*[x*]\s*)?10\^\{?(-?\d+)\}?", cell)
    try:
        value = float(power[1] or 1) * 10.0 ** int(power[2]) if power else float(match[1] if match else "")
        if math.isinf(value):
            raise ValueError
    except (ValueError, OverflowError):
        raise SearchError(f"{where} = {cell!r} is no number") from None
    if column in ("num_epochs", "step_size"):
        if value != int(value):
            raise SearchError(f"{where} = {cell!r} is no whole number")
        return str(int(value))
    if column.endswith("_acc"):
        value = value / 100 if "%" in cell or "%" in title or value > 1 else value
        if not 0 <= value <= 1:
            raise SearchError(f"{where} = {cell!r} is no accuracy: neither a fraction nor a percentage")
    return f"{value:.12g}"


def _word(where: str, cell: str, words: dict[str, str]) -> str:
    plain = cell.lower().replace(" ", "")
    for meaning, known in words.items():
        if plain in known.split():
            return meaning
    listed = "; ".join(f"{meaning}: {', '.join(known.split())}" for meaning, known in words.items())
    raise SearchError(f"{where} = {cell!r} is not understood; known are {listed}")
