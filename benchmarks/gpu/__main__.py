"""What runs on the GPU machine, from the tree: `one` asks whether everything works, `two` how fast it is.

python -m benchmarks.gpu one [--cpu]

Each step has a time of its own, and its failure is noted and nothing more. The folder $OUT gets log.txt, which has all
that was said, and results.jsonl, a line a finding. `two` adds smi.csv, the GPU's load, and profile.txt, a step's
kernels. The exit status is 1 if a step could not be run.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.gpu import fast, works
from benchmarks.gpu.kit import Kit, Step
from benchmarks.gpu.unpacking import CARRIED, facts, unpack

STEPS = {"one": (facts, *works.STEPS), "two": (facts, *fast.STEPS)}
SECONDS = {"one": 360.0, "two": 320.0}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=tuple(STEPS))
    parser.add_argument("--cpu", action="store_true", help="try the kit itself, where there is no GPU")
    parser.add_argument("--limit", type=float, help="seconds for all steps")
    parser.add_argument("--only", default="", help="the steps whose names hold one of these words, divided by commas")
    return parser.parse_args()


def made(arguments: argparse.Namespace) -> Kit:
    """The kit in $GPU_HOME, by default /tmp/gpu, whose name is short as Ray needs it."""
    home = Path(os.environ.get("GPU_HOME", "/tmp/gpu")).resolve()
    out = Path(os.environ.get("OUT") or home / "out").resolve()
    carried = (CARRIED / "one").is_dir()
    data = home / "data" if carried else Path(os.environ.get("SEARCH_DATA_ROOT") or "data").resolve()
    out.mkdir(parents=True, exist_ok=True)
    return Kit(home, out, arguments.cpu, arguments.limit or SECONDS[arguments.which], data)


def main() -> int:
    arguments = _arguments()
    kit = made(arguments)
    where = "CPU, to try the kit" if kit.cpu else "GPU"
    kit.say(f"{arguments.which}, on the {where}; {kit.limit:.0f} s for all steps; results in {kit.out}")
    failed = _tried(kit, "unpack", unpack)
    wanted = [word for word in arguments.only.split(",") if word]
    with fast.sampled(kit, arguments.which == "two"):
        for step in STEPS[arguments.which]:
            if wanted and not any(word in step.__name__ for word in wanted):
                continue
            if kit.left < 15:
                kit.note(step.__name__, skipped="no time left")
                continue
            kit.say(f"== {step.__name__}")
            failed += _tried(kit, step.__name__, step)
    kit.say("done; what was found:")
    for line in (kit.out / "results.jsonl").read_text(encoding="utf-8").splitlines():
        print(line[:420], flush=True)
    return int(failed > 0)


def _tried(kit: Kit, name: str, step: Step) -> int:
    try:
        step(kit)
    except Exception as error:
        kit.note(name, error=f"{type(error).__name__}: {error}"[:500])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
