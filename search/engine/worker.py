"""The training side of a run: orders in, one message an epoch out. It knows no study and no storage."""

from __future__ import annotations

import copy
import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna import TrialPruned

from search.config import Epoch, TrainConfig
from search.data.base import NoTestSplit
from search.engine.failures import breaks_gpu, closing, kind, reason
from search.engine.messages import Closed, Drop, Ended, Failed, Message, Order, Pruned, Report, Sized, WorkerConfig
from search.engine.processes.ending import END
from search.engine.processes.output import Output
from search.engine.processes.shared import Threads, changed, plain, shared
from search.errors import SearchError, first_line
from search.files import streams
from search.space.code import code_of
from search.space.file import Train, load_train
from search.space.module import as_script
from search.space.yields import close, left_open, measured_in, place_of, unlike_generator

if TYPE_CHECKING:
    from torch import nn

    from search.train.ranks import Ranks


class Worker:
    """Trains one trial after another in one process, whose data and device stay warm."""

    def __init__(self, workplace: WorkerConfig) -> None:
        self.workplace = workplace
        own = workplace.own_train
        self._code = code_of(Path(own)) if own else None  # first: what is loaded may be newer, and never older
        self._own = load_train(own) if own else None
        self._streams = streams.kept()
        self._notes = shared(self._own, Path(own)) if own and self._own else []
        self._plain = plain(self._own, Path(own)) if own and self._own else {}
        self._threads = Threads()
        self._attempt = self.number = 0
        self._epochs: Iterator[Report | Sized] = iter(())
        self._theirs: object = None
        """What the train() of the space file returned: a generator, which is to be closed."""
        self._home = self._folder = Path.cwd()
        self._output = Output()

    def start(self, order: Order) -> None:
        """Begin a trial; the one before is closed, wherever it was."""
        self.close()
        self._attempt, self.number, self._folder = order.attempt, order.number, self._home
        self._output.begin(order.output)
        self._epochs = self._measured(order) if self._own is None else self._call(self._own, order)

    def _call(self, own: Train, order: Order) -> Iterator[Report]:
        start = time.perf_counter()
        now = plain(own, Path(self.workplace.own_train or ""))
        self._notes += changed(self._plain, now)
        self._plain = {name: value for name, value in self._plain.items() if now.get(name) == value}
        self._threads.watch()
        epochs = self._theirs = own(_of_its_own(order.settings))
        if said := unlike_generator(epochs):
            raise SearchError(place_of(own) + said)
        cost = self._shares(self.workplace.device)
        for step, measured in enumerate(epochs, 1):
            place = place_of(epochs) or place_of(own)
            epoch = measured_in(measured, place)
            epoch.setdefault("seconds", time.perf_counter() - start)
            first = cost if step == 1 else None
            notes, self._notes = self._notes, []
            yield Report(order.attempt, epoch, step, False, notes, cost=first, code=self._code, place=place)
            start = time.perf_counter()

    def _measured(self, order: Order) -> Iterator[Report | Sized]:
        """The trial's epochs; before them what its model takes, if the driver asks for that."""
        if order.costs:
            from search.train.footprint import size_of  # late, as below

            config = TrainConfig(**order.settings)
            yield Sized(order.attempt, size_of(config, Path(self.workplace.data_root), order.costs))
        yield from self._train(order)

    def _shares(self, device: object) -> dict[str, float]:
        """What a trial on `device` takes of GPUs and, in threads, of CPUs."""
        return {"gpus": self.workplace.gpus if device == "cuda" else 0.0, "cpus": self.workplace.threads}

    def _train(self, order: Order) -> Iterator[Report]:
        from search.train import evaluate_test, train  # late: a train() of the space file need not wait for torch
        from search.train.weights import save

        place, keep, config = self.workplace, order.keep, TrainConfig(**order.settings)
        ranks, threads, ran_on = self._set(config.precision)
        root, notes, test = Path(place.data_root), list[str](), None

        def done(epoch: Epoch, model: nn.Module) -> None:
            nonlocal test
            if ranks.rank:  # the first one's work
                return
            if keep is not None and keep.wants(getattr(epoch, keep.metric)):
                try:
                    save(model, config, keep.path, epoch.about)
                except Exception as error:  # a full disk, for one: the trial has its numbers all the same
                    notes.append(f"its weights are not kept: {first_line(error)}")
            if place.test:
                with suppress(NoTestSplit):
                    found = evaluate_test(model, config, root, place.device, place.cache_size)
                    test = {"test_acc": found[0], "images": found[1]}

        where = (root, place.device, threads, place.cache_size)
        for epoch in train(config, *where, notes.append, done, order.checkpoints, ranks):
            yield Report(
                order.attempt,
                epoch.model_dump(),
                epoch.epoch,
                last=epoch.epoch == config.epochs,
                notes=notes.copy(),
                rates=epoch.rates,
                cost=None if epoch.footprint is None else epoch.footprint | self._shares(ran_on["device"]),
                ran_on=ran_on,
                data=epoch.data,
                weights=epoch.weights,
                val_images=epoch.val_images,
                predictions=epoch.predictions,
                test=test,
            )
            notes.clear()

    def _set(self, precision: str) -> tuple[Ranks, int, dict[str, Any]]:
        """This process among those of the trial, its threads, and what to note of where it runs."""
        from search.train.device import resolve_runtime
        from search.train.ranks import join

        place = self.workplace
        ranks = join(place.rank, place.ranks, place.meeting, place.device)
        threads = max(1, place.threads // ranks.count)
        ran_on: dict[str, Any] = dict(resolve_runtime(precision, place.device, threads).describe())
        return ranks, threads, ran_on | ({"ranks": ranks.count} if ranks.count > 1 else {})

    def step(self) -> Message:
        """Train one epoch. Returns a Report, Ended or Failed; raises no Exception."""
        message = self._step()
        if isinstance(message, Failed) and kind(message.reason) == "oom":
            _give_back()
        return message

    def _step(self) -> Message:
        try:
            with self._inside():
                message: Message = next(self._epochs, Ended(self._attempt))
            raised = self._threads.raised
            if isinstance(message, Ended) and raised is not None:  # what it yielded last is not what it would have been
                return self.failed(raised, " (in a thread of train())")
            return message
        except KeyboardInterrupt:
            raise
        except TrialPruned as error:
            return Pruned(self._attempt, first_line(error))
        except BaseException as error:  # a SystemExit in the user's code would end the run
            return self.failed(error)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Work in the trial's working directory, which its code may change: the search keeps its own."""
        if self._folder != self._home:
            os.chdir(self._folder)
        own = self.workplace.own_train
        try:
            with as_script(own) if own else nullcontext():
                yield
        finally:
            with suppress(FileNotFoundError):  # the trial has deleted it
                self._folder = Path.cwd()
            if self._folder != self._home:
                os.chdir(self._home)

    def failed(self, error: BaseException, where: str = "") -> Failed:
        """The message that the trial's code raised `error`."""
        self._epochs = iter(())
        return Failed(self._attempt, reason(error) + where, breaks_gpu(error))

    def close(self) -> Closed:
        """Close the trial's training, wherever it is. It may be closed already."""
        ours, theirs = self._epochs, self._theirs
        self._epochs, self._theirs = iter(()), None
        raised = ""
        with left_open() as left:
            try:
                with self._inside():
                    close(ours, left)
                    close(theirs, left)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                raised = reason(error)
            finally:
                self._threads.leave()
                streams.give(self._streams)
                self._output.end()
        return Closed(self._attempt, "; ".join(left) or raised, stuck=bool(left))


def _of_its_own(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings for one trial, whose code may change them; the space keeps its own."""
    made = dict[str, Any]()
    for name, value in settings.items():
        try:
            made[name] = copy.deepcopy(value)
        except Exception:  # an open file, for one, which no other process would get
            made[name] = value
    return made


def serve(connection: Connection, workplace: WorkerConfig, environment: dict[str, str]) -> None:
    """Train for the process at the other end: send this process's number, then one message for each thing received.

    An Order asks for the first message of a trial, None for its next, Drop for its end. Once the other end is gone,
    the training is interrupted and closed, for which it has the workplace's patience.
    """
    END.patience = workplace.patience if workplace.ranks == 1 else 0.0  # it may wait for another for ever
    connection.send(os.getpid())
    os.environ.update(environment)
    try:
        worker = Worker(workplace)
    except Exception as error:  # the space file was edited while the run went on
        order: Order = connection.recv()
        missing = workplace.own_train is not None and not Path(workplace.own_train).is_file()
        connection.send(Failed(order.attempt, reason(error), missing=missing))
        return
    try:
        while not END.gone:
            answer = _answer(worker, connection)
            if END.gone:
                _leave_word(worker, answer)
            connection.send(answer)
    except (EOFError, OSError):  # the other end is gone
        pass
    except KeyboardInterrupt:
        if not END.gone:
            raise
    finally:
        _leave_word(worker, worker.close())


def _leave_word(worker: Worker, answer: Message | Closed) -> None:
    """Say what the training raised while it was closed, where its answer reaches nobody."""
    raised = answer.raised if isinstance(answer, Closed) else answer.reason if isinstance(answer, Failed) else ""
    if raised:
        END.leave_word(closing(worker.number, raised))


def _answer(worker: Worker, connection: Connection) -> Message | Closed:
    """What the worker answers to the next thing received. Raises EOFError, OSError, KeyboardInterrupt."""
    with END.interruptible():
        asked: Order | Drop | None = connection.recv()
    if isinstance(asked, Drop):
        return worker.close()
    if asked is not None:
        _leave_word(worker, worker.close())
        worker.start(asked)
    try:
        with END.interruptible():
            return worker.step()
    except KeyboardInterrupt as error:
        if END.gone:
            raise
        return worker.failed(error)  # the user's code raised it


def _give_back() -> None:
    """Hand back what a failed trial held of the GPU: other trials share it, and this one is tried again alone."""
    gc.collect()
    torch = sys.modules.get("torch")  # a train() of the user's need not use it
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
