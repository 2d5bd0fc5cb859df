"""What a search costs, beside the script that a user would run instead (peer.py): both sides in one run, in turn.

python -m benchmarks.bench --data-root data            make bench: every row, under 20 minutes on two cores
python -m benchmarks.bench --data-root data --quick    make bench-quick: fewer repeats, no studies, no fine-tuning
python -m benchmarks.bench --data-root data --gpu      make bench-gpu: the same rows where there is a GPU

Prints the table and writes it to benchmarks/RESULTS.md; `--only WORD` runs the rows whose names hold WORD and writes
nothing. A row whose peer was not run whole says so, and what its figure was computed from.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import image_files, results, sides
from benchmarks.plan import FULL, GPU, QUICK, Plan, Row
from benchmarks.rows import Bench
from search.errors import COMMAND_LINE, SearchError


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as Markdown, and how each was measured below."""
    lines = ["| what | today's script | ours | ratio | bar | |", "|---|---|---|---|---|---|"]
    notes: list[str] = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(f"{len(notes) + 1}. {row.note}")
            mark = f" ({len(notes)})"
        peer, ratio = ("", "") if row.peer is None else (f"{_number(row.peer)} {row.unit}", f"{_number(row.ratio)} x")
        cells = [row.what + mark, peer, f"{_number(row.ours)} {row.unit}", ratio, row.bar, row.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *notes]


def measures(bench: Bench) -> dict[str, Callable[[], Row | Iterable[Row]]]:
    """Name to what measures the row or rows; the shared parts are measured when they are first asked for."""
    rows: dict[str, Callable[[], Row | Iterable[Row]]] = {"epoch": bench.epoch}
    if bench.plan.trials:
        rows["study"] = bench.study
        rows["heads"] = bench.head_studies
    rows |= {f"finetuning-{model}": partial(bench.finetuning, model) for model in bench.plan.models}
    return rows | {"input": bench.reading, "trial": bench.trial_cost, "start": bench.start, "noop": bench.noop_study}


def run(bench: Bench, only: str = "") -> list[Row]:
    """Measure the rows; a line each as soon as it is there."""
    rows: list[Row] = []
    for name, measure in measures(bench).items():
        if only not in name:
            continue
        began = time.monotonic()
        found = measure()
        for row in [found] if isinstance(found, Row) else found:
            rows.append(row)
            bench.log(
                f"{row.what}: {'' if row.peer is None else f'{_number(row.peer)} against '}{_number(row.ours)} "
                f"{row.unit}, bar {row.bar}: {row.verdict} [{time.monotonic() - began:.0f} s]"
            )
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(os.environ.get("SEARCH_DATA_ROOT", "data"))
    parser.add_argument("--data-root", type=Path, default=root, help="the folder that holds caltech101")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true")
    which.add_argument("--gpu", action="store_true")
    parser.add_argument("--only", default="", help="part of a row's name")
    return parser.parse_args()


def lanes(gpu: bool) -> int:
    """Trials side by side: one a core, or one a GPU. Raises BenchError where there is no GPU and one is asked for."""
    import torch

    if not gpu and torch.cuda.is_available():
        raise sides.BenchError("this machine has a GPU, which both sides would use: make bench-gpu")
    if gpu and not torch.cuda.is_available():
        raise sides.BenchError("no GPU is visible here: make bench measures on the CPU")
    return torch.cuda.device_count() if gpu else len(os.sched_getaffinity(0))


def main() -> int:
    arguments = _arguments()
    plan: Plan = GPU if arguments.gpu else QUICK if arguments.quick else FULL
    began = time.monotonic()
    try:
        side_by_side = lanes(arguments.gpu)
        print("setting up: the JPEGs for the peer, the decoded images for us (not timed)", flush=True)
        images = image_files.unpack(arguments.data_root)
        image_files.decode(arguments.data_root, "alexnet")
        bench = Bench(
            plan, arguments.data_root, images, side_by_side, arguments.gpu, log=lambda line: print(line, flush=True)
        )
        rows = run(bench, arguments.only)
    except (sides.BenchError, SearchError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    minutes = (time.monotonic() - began) / 60
    lines = table(rows)
    print("\n".join(["", *lines, "", f"took {minutes:.1f} minutes"]))
    if not arguments.only:
        command, title = _titles(arguments)
        results.write(title, command, [*lines, "", f"The whole bench took {minutes:.1f} minutes."])
    return 0


def _titles(arguments: argparse.Namespace) -> tuple[str, str]:
    if arguments.gpu:
        return "make bench-gpu", "Speed, on a GPU"
    return ("make bench-quick", "Speed, quick") if arguments.quick else ("make bench", "Speed")


if __name__ == "__main__":
    os.environ[COMMAND_LINE] = "1"  # messages speak of --data-root
    sys.exit(main())
