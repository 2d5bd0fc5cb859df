"""The benches measure what they say: no figure is asserted, only what each is made of."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import bench, efficiency, image_files, judged, late, processes, results, sampled, sides
from benchmarks.plan import QUICK, Row
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.record import inputs, train_together
from benchmarks.rows import Bench
from search import TrainConfig
from search.data.cache import cache_root
from search.errors import COMMAND_LINE
from search.study.pruner import ASHA
from search.train import train

DIGITS = next(problem for problem in PROBLEMS if problem.name == "digits_mlp")
TINY = Problem("tiny", "a grid of twelve", dict(epochs=4), dict(a=(0, 1, 2), b=(0, 1, 2, 3)), ((0, 0),), 10)


def tiny_curves() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(3, 4, 4): the point (2, 3) ends best, and every curve rises."""
    a, b, epoch = np.meshgrid(np.arange(3), np.arange(4), np.arange(1, 5), indexing="ij")
    return np.asarray((0.1 * a + 0.1 * b + 0.1) * (1 - 0.5**epoch), dtype=np.float64)


def test_points_trained_side_by_side_have_the_curves_that_the_trainer_gives_them(one_thread: None) -> None:
    points = [(3, 2, 1, 1, 0), (3, 2, 1, 0, 2), (3, 0, 2, 0, 1)]
    configs = [TrainConfig(**DIGITS.settings(point)) for point in points]
    right, trained = train_together(configs, inputs(DIGITS, Path()), 10)
    assert trained < 3 * 12  # the first two share the epochs before their first decay
    for config, row in zip(configs, right, strict=True):
        own = [epoch.val_acc for epoch in train(config, threads=1)]
        assert np.abs(row / 449 - own).max() <= 1.01 / 449


def test_a_run_that_diverges_has_no_accuracy_from_there_on() -> None:
    config = TrainConfig(**{**DIGITS.settings((9, 3, 0, 2, 2)), "lr": 1e30, "epochs": 3})
    right, _ = train_together([config], inputs(DIGITS, Path()), 10)
    assert (right == -1).all()


@pytest.mark.parametrize("name", efficiency.SIDES)
def test_every_side_finds_the_best_of_a_small_grid(name: str) -> None:
    costs = efficiency.replay(efficiency.SIDES[name](TINY, 0), tiny_curves(), lanes=2, cap=2000)
    assert all(4 < cost < math.inf and cost % 2 == 0 and 0 <= stopped < 1 for cost, stopped in costs)


def test_a_replay_counts_the_epochs_of_whole_trials_only() -> None:
    class Fixed:
        """Asks for one point after another, and stops the first, the best, after its third epoch."""

        points = iter([(2, 3), (0, 0), (2, 3)])

        def start(self) -> tuple[object, tuple[int, ...]]:
            point = next(self.points)
            return SimpleNamespace(point=point, first=not hasattr(self, "begun")), point

        def report(self, handle: SimpleNamespace, step: int, accuracy: float, last: bool) -> bool:
            self.begun = True
            return not last and not (handle.first and step == 3)

    assert efficiency.replay(Fixed(), tiny_curves(), lanes=1) == [(3 + 4 + 4, 3 / 11)] * 2


def test_rays_own_pruner_stops_what_lags_and_a_diverged_trial_is_told_as_chance() -> None:
    side = efficiency.Habit(TINY, 0, reduction_factor=2)
    first, _ = side.start()
    second, _ = side.start()
    assert side.report(first, 1, 0.5, last=False)
    assert not side.report(second, 1, math.nan, last=False)
    study: Any = side._search._ot_study
    told = study.trials[1]
    assert told.value == 0.1


def test_the_defaults_are_those_of_search_run_and_begin_at_the_seed() -> None:
    sampler, pruner = efficiency.defaults(TINY)
    assert isinstance(pruner, ASHA)
    draws = [
        [efficiency.Ours(TINY, efficiency.seeded(sampler, seed), pruner).start()[1] for _ in range(2)]
        + [efficiency.seeded(sampler, seed)._rng.rng.randint(1000)]  # type: ignore[attr-defined] # Optuna's own
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_a_late_decay_shares_the_epochs_before_it_and_only_those() -> None:
    early, later, other = (3, 2, 1, 0, 0), (3, 2, 1, 1, 0), (3, 1, 1, 1, 0)
    assert late.distinct(DIGITS, [(early, 5), (later, 4)]) == (6, 6)  # step_size 3 and 6: three epochs are the same
    assert late.distinct(DIGITS, [(early, 5), (other, 4)]) == (9, 9)
    assert late.distinct(DIGITS, [(early, 5), (early, 2)]) == (5, 7)


def test_a_search_trains_as_many_trials_as_asked_for_and_no_more_epochs_than_they_have() -> None:
    class Stopping:
        points = iter([(0, 0, 0, 0, 0)] * 9)

        def start(self) -> tuple[None, tuple[int, ...]]:
            return None, next(self.points)

        def report(self, handle: None, step: int, accuracy: float, last: bool) -> bool:
            return step < 2

    found = late.epochs_of_search(Stopping(), DIGITS, trials=5)
    assert found == [((0, 0, 0, 0, 0), 2)] * 5


def test_what_was_never_reached_counts_as_never() -> None:
    assert judged.spread(np.array([10.0, 20.0, math.inf, math.inf])) == "20 (10 to never)"


def test_each_cell_says_whether_the_bar_holds_and_what_limits_it() -> None:
    def costs(near: float, nearer: float, share: float) -> Any:
        return np.array([[[near, share], [nearer, share]]] * 3)

    measured = [
        (TINY, "ours", costs(10, 30, 0.5)),
        (TINY, "a", costs(12, 60, 0.25)),
        (TINY, "b", costs(11, math.inf, 0)),
    ]
    lines = judged.verdict(measured, "ours", ["a", "b"], lanes=2)
    limit = "trials that were stopped take 50% of the lane-epochs, the habit's 0%; a whole trial on each lane is 8, so "
    assert lines[4:] == [
        f"| {TINY.name} | 0.5% | 10 | 11 | 1.10 | misses by 1.36 x | {limit}that more than 1.38 x cannot be |",
        f"| {TINY.name} | 0.2% | 30 | 60 | 2.00 | holds |  |",
    ]
    never = judged.verdict([(TINY, "ours", costs(9, math.inf, 0)), (TINY, "a", costs(99, 99, 0))], "ours", ["a"], 2)[-1]
    assert never.endswith(
        "| never | 99 | - | not reached | in half the replays or more no trial comes so near in 1500 lane-epochs |"
    )


def test_a_row_says_whether_its_bar_holds_and_by_how_much_it_misses() -> None:
    rows = [
        Row("an epoch", 100, 5, times=25, note="peer: once"),
        Row("an epoch", 100, 4, times=25),
        Row("a start", 20, 6, at_most=5),
        Row("a no-op", None, 2, at_most=6),
        Row("a rate", 46, 92, "images/s", times=2, higher_is_better=True),
    ]
    lines = bench.table(rows)
    assert lines[2:] == [
        "| an epoch (1) | 100 s | 5 s | 20 x | 25 x | misses by 1.25 x |",
        "| an epoch | 100 s | 4 s | 25 x | 25 x | holds |",
        "| a start | 20 s | 6 s | 3.33 x | <= 5 s | misses by 1.20 x |",
        "| a no-op |  | 2 s |  | <= 6 s | holds |",
        "| a rate | 46 images/s | 92 images/s | 2 x | 2 x | holds |",
        "",
        "1. peer: once",
    ]


def test_a_section_of_the_results_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    results.write("Speed", "make bench", ["| a |"], file)
    results.write("Other", "make other", ["| b |"], file)
    results.write("Speed", "make bench", ["| c |"], file)
    text = file.read_text(encoding="utf-8")
    assert "| a |" not in text
    assert text.index("| c |") < text.index("| b |")
    assert text.count("## ") == 2
    assert "`make bench`" in text
    assert "torch" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_the_bench_for_gpus_says_in_one_line_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--gpu"])
    assert bench.main() == 2
    assert capsys.readouterr().err == "bench: no GPU is visible here: make bench measures on the CPU\n"


def test_the_bench_without_its_images_says_in_one_line_where_they_belong(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--data-root", "absent"])
    monkeypatch.setenv(COMMAND_LINE, "1")  # as where it is a program
    assert bench.main() == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("bench: no Caltech-101 in absent/caltech101: ")
    assert line.endswith("name the folder above with --data-root")


@pytest.mark.whole
def test_a_no_op_study_is_measured_from_its_first_result_to_its_last(tmp_path: Path) -> None:
    run = sides.ours(sides.SPACES / "noop.py", tmp_path, "--trials", "3", "--epochs", "2", "--engine", "inline")
    assert len(run.trials) == 3
    assert len(run.epochs) == 6
    assert 0 < run.to_first_step < run.seconds
    assert 0 < run.first_to_last < run.seconds


def test_a_side_that_fails_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(sides.BenchError, match="no such space file"):
        sides.ours(tmp_path / "absent.py", tmp_path)


def test_only_the_rows_asked_for_are_measured(tmp_path: Path) -> None:
    assert bench.run(Bench(QUICK, tmp_path, tmp_path, 2), only="no such row") == []


def test_a_sampled_profile_counts_what_the_workers_do_and_nobody_else() -> None:
    serve = "process 1:x;serve (search/engine/worker.py:97)"
    epoch = f"{serve};_epoch (search/train/trainer.py:97)"
    step = f"{epoch};Learner.step (search/train/learner.py:126)"
    raw = "\n".join(
        [
            "process 1:x;main (search/cli/__init__.py:20);recv (multiprocessing/connection.py:1) 900",
            f"{serve};recv (multiprocessing/connection.py:250) 10",
            f"{serve};new_learner (search/train/trainer.py:80) 5",
            f"{step} 30",
            f"{step};Activations.batch (search/train/batches.py:140) 2",
            f"{step};Tensor.backward (torch/_tensor.py:623);backward (torch/autograd/__init__.py:395) 40",
            f"{epoch};evaluate (search/train/evaluate.py:128);forward (search/train/frozen/prefix.py:29) 13",
        ]
    )
    found = sampled.shares(raw)
    assert found == {
        "backward": 0.4,
        "forward": 0.3,
        "evaluation": 0.13,
        "waiting for the next trial": 0.1,
        "getting ready": 0.05,
        "input": 0.02,
    }
    assert sampled.working(found) == pytest.approx(0.85)
    assert "85% in training and evaluation (backward 40%" in sampled.sentence(found)


def test_the_cpu_seconds_of_a_commands_processes_are_counted_by_part() -> None:
    burn = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn.format(0.6)!r}]); {burn.format(0.3)}"
    with processes.watched() as seen:
        subprocess.run([sys.executable, "-c", f"{code}\ntime.sleep(0.3)"], check=True)
    at = next(moment for moment, used in seen.seen if used.get("Ray", 0) > 0.3)  # not the driver, so it is Ray's
    assert seen.by(at)["Ray"] > 0.3
    assert max(used.get("the driver", 0) for _, used in seen.seen) > 0.25
    assert seen.by(0) == {}


@pytest.mark.parametrize(
    ("batches", "sizes", "fraction"), [(2, [3, 3], 0.6), (None, [3, 3, 3, 1], 1.0), (9, [3, 3, 3, 1], 1.0)]
)
def test_a_part_of_the_peers_epoch_is_counted_by_its_images(
    tmp_path: Path, batches: int | None, sizes: list[int], fraction: float
) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    for number in range(10):
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / "cat" / f"{number}.jpg")
    from benchmarks import peer  # late: it imports Ray, which listens beyond loopback if the engine has not told it

    loader, found = peer.make_loader(tmp_path, "train", "alexnet", 3, 0, batches)
    assert [len(y) for _, y in loader] == sizes
    assert found == fraction


def test_a_first_study_finds_the_decoded_images_and_no_activations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image_files, "decode", lambda data_root, model: None)  # they are there
    for folder in ("caltech101-1/train", "features/1"):
        (tmp_path / "search" / folder).mkdir(parents=True)
        (tmp_path / "search" / folder / "values").write_text("kept")
    with image_files.empty_cache(Path()):
        there = cache_root()
        assert there != tmp_path / "search"
        assert [path.name for path in there.iterdir()] == ["caltech101-1"]
        assert (there / "caltech101-1/train/values").read_text() == "kept"
    assert not there.exists()
    assert cache_root() == tmp_path / "search"
    assert (tmp_path / "search/caltech101-1/train/values").read_text() == "kept"
