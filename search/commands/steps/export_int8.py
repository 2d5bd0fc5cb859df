"""`search export --onnx FILE --int8 HOW`: the model in 8-bit integers, and what that costs and gains."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from search.analysis.statistics import mcnemar
from search.commands.steps.export_onnx import write_onnx
from search.errors import SearchError, first_line
from search.files.atomic import write_whole
from search.format import format_number
from search.models.base import extra
from search.reporting.columns import accuracy
from search.study.known import check_named
from search.train.batches import EVAL_BATCH, Data, load_splits
from search.trained.about import About

How = Literal["dynamic", "static"]
CALIBRATION = 128
"""Training images at most that show a static quantisation the ranges of the activations; ONNX Runtime's own advice."""
PASSES, SECONDS = 30, 0.5
"""The timed passes of one image: so many, or as many as fit in that time, but at least 3."""


class Worth(NamedTuple):
    """What a model is worth and takes: which validation images are right (N,), megabytes, milliseconds an image."""

    right: NDArray[np.bool_]
    predicted: NDArray[np.int64]
    mb: float
    latency_ms: float

    def said(self, name: str) -> str:
        """A line for the user."""
        share = accuracy(float(self.right.mean()), len(self.right))
        ms = format_number(self.latency_ms, 3)
        return f"{name:<8} validation accuracy {share}, {self.mb:.3g} MB, {ms} ms an image on one core"


def write_int8(
    weights: Path, about: About, path: Path, how: How, data_root: Path, code: Sequence[Path] = ()
) -> list[str]:
    """Write the model of the safetensors `weights` as int8 ONNX to `path`; lines that set it beside the float one.

    `dynamic`: weights are kept as integers, and the ranges of the activations are found anew for each batch. `static`:
    those ranges are fixed, by at most CALIBRATION training images as they are evaluated. The validation split measures
    both; the test split takes no part. Both are ONNX Runtime's post-training quantisation (Jacob et al., arXiv
    1712.05877). Raises SearchError if the data are not there, or are not those of the training.
    """
    check_named(str(weights), {"dataset": about.config.dataset}, code)
    train, val = _data(about, data_root)
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        write_onnx(weights, about, whole, code)
        try:
            _quantise(whole, small, how, train)
            found = [_worth(whole, val, alone=False), _worth(small, val, alone=how == "dynamic")]
        except SearchError:
            raise
        except Exception as error:  # onnxruntime raises a dozen kinds
            raise SearchError(f"the model cannot be written in int8: {first_line(error)}") from None
        write_whole(path, lambda part: part.write_bytes(small.read_bytes()))
    return [found[0].said("float"), found[1].said("int8"), _difference(*found)]


def _data(about: About, root: Path) -> tuple[Data, Data]:
    """The training and validation images as the model sees them. Raises SearchError unless they are the training's."""
    train, val = load_splits(about.config, root, "cpu", "train", "val")
    name = about.config.dataset
    if train.classes != about.classes:
        raise SearchError(f"{name} has other classes now than when the model was trained; int8 is measured on its data")
    if about.data and train.identity.fingerprint != about.data:
        raise SearchError(f"{name} has other pictures now than when the model was trained; int8 is measured on them")
    return train, val


def _batches(data: Data, rows: torch.Tensor) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    for index in rows.split(EVAL_BATCH["cpu"]):
        x, y = data.batch(index, torch.contiguous_format)
        yield x.numpy(), y.numpy()


def calibrating(images: int) -> torch.Tensor:
    """The rows of the training images that calibrate: CALIBRATION at random, always the same ones."""
    order = torch.randperm(images, generator=torch.Generator().manual_seed(0))
    return order[:CALIBRATION]


class _Reader:
    """Batches of training images, as onnxruntime asks for them."""

    def __init__(self, data: Data) -> None:
        self._left = iter([{"images": x} for x, _ in _batches(data, calibrating(len(data)))])

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def _quantise(whole: Path, small: Path, how: How, train: Data) -> None:
    tools: Any = extra("onnxruntime.quantization", "onnx")
    onnx: Any = extra("onnx", "onnx")
    shapes: Any = extra("onnxruntime.quantization.shape_inference", "onnx")
    ready, bare = whole.with_name("ready.onnx"), onnx.load(str(whole))
    del bare.graph.value_info[:]  # shapes of the exporter's, which those of a quantised layer contradict
    onnx.save(bare, str(ready))
    with _quiet():
        shapes.quant_pre_process(str(ready), str(ready), skip_symbolic_shape=True)
        if how == "dynamic":  # of convolutions the CPU has no kernel for signed weights
            tools.quantize_dynamic(str(ready), str(small), weight_type=tools.QuantType.QUInt8)
        else:
            reader = type("Reader", (_Reader, tools.CalibrationDataReader), {})(train)
            tools.quantize_static(str(ready), str(small), reader, per_channel=True)
    made, known = onnx.load(str(small)), onnx.load(str(whole)).metadata_props
    del made.metadata_props[:]
    made.metadata_props.extend(known)
    made.metadata_props.add(key="int8", value=f'"{how}"')
    onnx.save(made, str(small))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's advice to itself, which is about steps that are taken here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _session(file: Path, threads: int) -> Any:
    runtime: Any = extra("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _worth(file: Path, val: Data, alone: bool) -> Worth:
    """`alone`: one image at a time, for what is said of one depends on the others of its batch."""
    session, called = _session(file, 0), []
    for batch, _ in _batches(val, torch.arange(len(val))):
        parts = [batch[row : row + 1] for row in range(len(batch))] if alone else [batch]
        called += [session.run(None, {"images": x})[0].argmax(1) for x in parts]
    predicted = np.concatenate(called)
    one, times = val.batch(torch.arange(1), torch.contiguous_format)[0].numpy(), list[float]()
    session = _session(file, 1)
    session.run(None, {"images": one})
    while len(times) < 3 or (len(times) < PASSES and sum(times) < SECONDS):
        start = time.thread_time()  # of one thread, which is this one: other work on the core does not count
        session.run(None, {"images": one})
        times.append(time.thread_time() - start)
    return Worth(predicted == val.labels.numpy(), predicted, file.stat().st_size / 1e6, statistics.median(times) * 1e3)


def _difference(whole: Worth, small: Worth) -> str:
    """How often int8 says something else, and whether the accuracies differ by more than chance."""
    other = int((whole.predicted != small.predicted).sum())
    only = (whole.right & ~small.right, small.right & ~whole.right)
    p = float(mcnemar(*(np.array([found.sum()]) for found in only))[0])
    said = "statistically tied" if p >= 0.05 else "they differ"
    count = f"of {len(whole.right):,} validation images {other:,} are called otherwise in int8"
    return f"{count}; {said} (McNemar, p = {p:.2g})"
