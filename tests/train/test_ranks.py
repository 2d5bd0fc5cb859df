"""One trial in two processes: the numbers of gradient accumulation in one, with gloo on CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from crewed import forking, made, messages
from torch import Tensor, distributed, nn
from train.test_trainer import config, run

from search.config import TrainConfig
from search.data import cache
from search.data.digits import Digits
from search.engine.messages import Ended, Message, Report
from search.engine.processes.crew import Crew
from search.engine.processes.forkserver import ForkServer
from search.train import trainer
from search.train.learner import Learner
from search.train.ranks import Ranks, join

pytestmark = pytest.mark.usefixtures("torch_threads")


class Accumulates(Learner):
    """A learner whose steps add the gradients of two parts of the batch, one after the other, in one process."""

    def begin(self, number: int) -> float:
        first = super().begin(number)
        self.drawn = []
        for rank in range(2):
            Ranks(rank, 2).reseed(self.config.seed, number)
            self.drawn.append(torch.get_rng_state())
        return first

    def step(self, index: Tensor) -> Tensor:
        x, y = self.data.batch(index, self.runtime.memory_format, self._augment)
        if self._mix is not None:
            x, y = self._mix(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(())
        parts = 2 if len(index) >= 2 * self.least else 1
        for rank, (own, labels) in enumerate(zip(x.tensor_split(parts), y.tensor_split(parts), strict=True)):
            torch.set_rng_state(self.drawn[rank])
            kept = [values.clone() for values in self.model.buffers()]
            logits = self.net(own)
            loss = self._loss(logits, labels) * len(own) / len(index)
            loss.backward()
            if rank:  # the statistics are those of the first part
                for values, before in zip(self.model.buffers(), kept, strict=True):
                    values.copy_(before)
            total += loss.detach()
            self._right.append(logits.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1)))
            self.drawn[rank] = torch.get_rng_state()
        if self.config.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.schedule.after_step()
        if self._average is not None:
            self._follow(self._average)
        return total


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    folder = tmp_path_factory.mktemp("crew")
    with pytest.MonkeyPatch.context() as patch:  # decoded here, where scikit-learn is imported already
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        cache.load(Digits(Path()), None, ["train", "val"])
    with forking(folder) as started:
        yield started


@pytest.fixture(scope="module")
def crew(server: ForkServer) -> Iterator[Crew]:
    two = made(server)
    yield two
    two.close()


def epochs_of(found: list[Message]) -> list[dict[str, Any]]:
    assert isinstance(found[-1], (Ended, Report)), found[-1]
    return [report.epoch for report in found if isinstance(report, Report)]


def settings(made: TrainConfig) -> dict[str, Any]:
    return made.model_dump(exclude_unset=True)


IMAGES = 130
"""Of a training: four batches of 32, and two images."""
CASES: dict[str, dict[str, Any]] = {
    "plain": {"momentum": 0.9, "weight_decay": 0.01},
    "a last batch of one image": {"batch_size": 43},
    "odd batches": {"batch_size": 37, "label_smoothing": 0.1},
    "every image changed and mixed": {"augment": "crop_flip", "mixup": 0.2, "cutmix": 1.0},
    "flipped, clipped, averaged": {"augment": "flip", "grad_clip": 0.1, "ema": 0.9},
    "uneven classes": {"sampler": "balanced", "class_weights": "balanced", "focal_gamma": 2.0},
    "frozen layers kept": {"frozen": ("0",), "augment": "flip", "batch_size": 43},
    "thawed by and by": {"gradual_unfreeze": True, "optimizer": "adamw", "lr": 1e-3},
    "dropout": {"model": "mlp", "hidden": (32,)},
    "batch normalisation": {"model": "models.py:normed", "batch_size": 43},  # one more in the last batch
    "batch normalisation, three left": {"model": "models.py:normed", "batch_size": 42, "subset": 129},
    "a layer that no step uses": {"model": "models.py:skips", "weight_decay": 0.1},
}


@pytest.mark.whole
@pytest.mark.parametrize("changed", CASES.values(), ids=CASES)
def test_two_processes_have_the_numbers_of_accumulation_in_one(
    changed: dict[str, Any], crew: Crew, server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(server.folder / "home")
    asked = config(**{"schedule": "cosine", "step_size": None, "gamma": None, "epochs": 2, "subset": IMAGES, **changed})
    two = messages(crew, settings(asked))
    monkeypatch.setattr(trainer, "Learner", Accumulates)
    trainer.forget()
    one, _ = run(asked)
    trainer.forget()
    found = epochs_of(two)
    assert len(found) == 2
    for mine, known in zip(found, one, strict=True):
        expected = known.model_dump(exclude={"seconds"})
        assert {name: mine[name] for name in expected} == pytest.approx(expected, rel=2e-5), known.epoch
    last = two[-2]
    assert isinstance(last, Report)
    assert (last.last, last.val_images) == (True, one[-1].val_images)


@pytest.mark.whole
def test_a_dropped_trial_leaves_two_learners_for_the_next(crew: Crew) -> None:
    asked = settings(config(model="mlp", hidden=(16,), epochs=2))
    before = epochs_of(messages(crew, asked))
    messages(crew, settings(config(model="mlp", hidden=(16,), epochs=3, lr=0.1)), stop=1)
    again = epochs_of(messages(crew, asked))
    for epoch in (*before, *again):
        del epoch["seconds"]
    assert before == again


@pytest.mark.whole
def test_two_go_on_from_a_checkpoint_with_the_same_numbers(server: ForkServer, crew: Crew, tmp_path: Path) -> None:
    asked = settings(config(model="mlp", hidden=(16,), epochs=4, augment="crop_flip"))
    whole = epochs_of(messages(crew, asked))
    interrupted = made(server)
    messages(interrupted, asked, stop=3, checkpoints=tmp_path)  # the third is reported, and the second is kept
    interrupted.close()
    kept = sorted(path.name[:6] for path in tmp_path.iterdir())
    again = made(server)
    first, *more = messages(again, asked, checkpoints=tmp_path)
    again.close()
    assert kept == ["000001", "000002"]
    for epoch in (rest := epochs_of([first, *more])) + whole:
        del epoch["seconds"]
    assert rest == whole[2:]


def test_each_image_of_a_batch_counts_once() -> None:
    for count in (1, 2, 3, 8):
        for images in (1, 2, 3, 7, 64, 65):
            for least in (1, 2):
                shares = [Ranks(rank, count).share(images, least) for rank in range(count)]
                rows = [row for own, factor in shares if factor for row in range(images)[own]]
                assert rows == list(range(images))
                assert all(len(range(images)[own]) >= min(least, images) for own, _ in shares)
                sizes = [len(range(images)[own]) for own, factor in shares if factor]
                assert max(sizes) - min(sizes) <= 1
                assert [factor * images / count for _, factor in shares if factor] == pytest.approx(sizes)


def test_dropout_draws_otherwise_on_each_rank_and_in_each_epoch_and_the_same_again() -> None:
    def drawn(rank: int, epoch: int, count: int = 2) -> float:
        torch.manual_seed(5)
        Ranks(rank, count).reseed(0, epoch)
        return float(torch.rand(()))

    assert len({drawn(rank, epoch) for rank in (0, 1) for epoch in (1, 2)}) == 4
    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(0, 1, count=1) == drawn(0, 2, count=1)  # alone, it goes on as it was


def test_on_gpus_each_process_takes_its_own_and_is_told_what_torchrun_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The GPUs and NCCL are faked."""
    taken: list[int] = []
    seen: dict[str, Any] = {}
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(distributed, "init_process_group", lambda backend, **how: seen.update(how, backend=backend))
    assert join(1, 2, str(tmp_path / "meeting"), "cuda") == Ranks(1, 2)
    assert (taken, seen["backend"], seen["rank"], seen["world_size"]) == ([1], "nccl", 1, 2)
    told = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
    assert told == {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert os.environ["NCCL_SOCKET_IFNAME"] == "lo"
    assert join(0, 1, "", "cuda") == Ranks()


def test_alone_nothing_is_shared() -> None:
    alone, values = Ranks(), torch.arange(3.0)
    assert alone.share(5, 1) == (slice(0, 5), 1.0)
    assert alone.summed(values) is values is alone.gathered(values, 3)
    assert alone.agree(4)
