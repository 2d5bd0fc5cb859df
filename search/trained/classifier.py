"""A trained model, ready to be asked: pixels in, logits out. One class for PyTorch, one for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from search.config import TrainConfig
from search.data.cache import Images
from search.errors import SearchError, first_line, visible
from search.files.locations import Where
from search.models import build
from search.models.base import extra
from search.study.known import layers_of
from search.train.batches import EVAL_BATCH, Data
from search.train.device import Runtime, cores, resolve_runtime
from search.trained.about import ONNX, SAFETENSORS, About, read_about


class Classifier(Protocol):
    """A model with what its file says of it."""

    about: About

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of pictures as `search.data.reading.decoding.pixels_of` makes them (N, H, W, C): (N, classes)."""


def open_model(path: Path, device: str = "auto", source: Where | None = None, code: Sequence[Path] = ()) -> Classifier:
    """The model in the safetensors or ONNX file at `path`, or in the folder that `search export --model` wrote.

    `device`: auto, cpu or cuda. `source`: where `path` was copied from, whose ending says what it is. `code`: Python
    files that the user names, of which one may have the layers. Takes all cores.
    Raises SearchError for a file that is no model of this project.
    """
    if path.is_dir():
        inside = [path / f"model{ending}" for ending in (SAFETENSORS, ONNX)]
        found = [file for file in inside if file.is_file()]
        if not found:
            raise SearchError(f"{visible(str(path))}: that folder has no model.safetensors; name the model's file")
        path = found[0]
    if not path.is_file():
        raise SearchError(f"{visible(str(path))}: no such file")
    known: dict[str, Callable[[Path, str], Classifier]] = {SAFETENSORS: partial(_Torch, code=code), ONNX: _Onnx}
    kind = known.get(Path(source or path).suffix.lower())
    if kind is None:
        raise SearchError(f"{visible(str(path))}: a model is a {SAFETENSORS} or {ONNX} file")
    return kind(path, device)


def network(path: Path, about: About, code: Sequence[Path] = ()) -> nn.Module:
    """The model of the safetensors at `path`, with its weights, on the CPU. Raises SearchError.

    `code`: Python files that the user names, of which one may have the layers (`search.study.known`).
    """
    config, spec = about.config, about.spec
    name, count = layers_of(config.model, path, code), len(about.classes)
    model = build(name, count, len(spec.channels), None, spec.crop, config.hidden)
    try:
        load_model(model, path)
    except (RuntimeError, SafetensorError, OSError) as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        what = f"not the weights of {config.model} for {count} classes"
        raise SearchError(f"{visible(str(path))}: {what}: {said[min(1, len(said) - 1)]}") from None
    return model


class _Batches:
    """Pixels as the model's batches, made as in training."""

    def __init__(self, about: About, device: str, runtime: Runtime) -> None:
        self._about, self._device, self._runtime = about, device, runtime

    def of(self, pixels: NDArray[np.uint8]) -> list[Tensor]:
        labels = np.zeros(len(pixels), dtype=np.int64)
        data = Data(Images(pixels, labels, self._about.classes, (), ""), self._about.spec, self._device)
        rows = torch.arange(len(pixels)).split(EVAL_BATCH[self._runtime.device])
        return [data.batch(index, self._runtime.memory_format)[0] for index in rows]


class _Torch:
    """A model of PyTorch, in the precision that it was trained in."""

    def __init__(self, path: Path, device: str, code: Sequence[Path]) -> None:
        self.about = read_about(path)
        self._runtime = runtime = resolve_runtime(_precision(self.about.config, device), device, cores())
        model = network(path, self.about, code).eval()
        self._model = model.to(runtime.device).to(memory_format=runtime.memory_format)
        self._batches = _Batches(self.about, runtime.device, runtime)

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        for x in self._batches.of(pixels):
            with self._runtime.autocast():
                parts.append(self._model(x).float().cpu())
        return torch.cat(parts).numpy()


def _precision(config: TrainConfig, device: str) -> str:
    """That of the config; fp32 where fp16 was trained on a GPU and none is here."""
    gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return "fp32" if config.precision == "fp16" and not gpu else config.precision


class _Onnx:
    """A model of ONNX Runtime, in fp32, on whatever the installed runtime can use."""

    def __init__(self, path: Path, device: str) -> None:
        runtime: Any = extra("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = cores()
        options.log_severity_level = 3
        providers = [name for name in runtime.get_available_providers() if device != "cpu" or name.startswith("CPU")]
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen kinds
            raise SearchError(f"{visible(str(path))}: no ONNX file that can be run: {first_line(error)}") from None
        told = self._session.get_modelmeta().custom_metadata_map
        self.about, self._alone = About.of(path, told), told.get("int8") == '"dynamic"'  # whose ranges are a batch's
        (self._input, *more), (output, *_) = self._session.get_inputs(), self._session.get_outputs()
        count = output.shape[-1]
        if more or count != len(self.about.classes):
            raise SearchError(
                f"{visible(str(path))}: the model has {count} outputs and {len(self.about.classes)} names of classes"
            )
        self._batches = _Batches(self.about, "cpu", resolve_runtime("fp32", "cpu", cores()))

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        for batch in self._batches.of(pixels):
            for x in batch.split(1 if self._alone else len(batch)):
                (logits, *_) = self._session.run(None, {self._input.name: x.numpy()})
                parts.append(logits)
        return np.concatenate(parts)
