"""`search export --onnx`: a trained model for programs that run it without PyTorch."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search.errors import SearchError, first_line
from search.files.atomic import write_whole
from search.models.base import extra
from search.trained.about import About
from search.trained.classifier import network


def write_onnx(weights: Path, about: About, path: Path, code: Sequence[Path] = ()) -> None:
    """Write the model of the safetensors `weights`, which say `about` of themselves, as ONNX to `path`.

    Input ``images`` (N, C, H, W), float32, normalised as in training; output ``logits`` (N, classes), float32; N is
    free. The metadata is the safetensors', as JSON: `classes` in the order of the logits, `input`, which says how a
    picture becomes an image, the fingerprints of the `data`, of its `test` split and of the `weights` that the training
    began with, and `config`. Beside these there are, of `input`, `mean` and `std` of each channel for values in [0, 1],
    and `resize`, the pixels of the short side before the centre is cut out, or height and width. The data set is not
    asked. `code`: Python files that the user names, for layers of one's own. Raises SearchError if the model cannot be
    exported.
    """
    extra("onnxscript", "onnx")
    model, spec = network(weights, about, code), about.spec
    resize = spec.resize[0] if spec.resize[0] == spec.resize[1] else spec.resize
    told: dict[str, Any] = {"classes": list(about.classes), "input": spec.about()} | about.prints
    told |= {"mean": spec.mean, "std": spec.std, "resize": resize, "config": about.config.model_dump(mode="json")}
    metadata = {name: json.dumps(value) for name, value in told.items()}
    _export(model, torch.zeros(2, len(spec.channels), *spec.crop), path, metadata)


def _export(model: nn.Module, images: torch.Tensor, path: Path, metadata: dict[str, str]) -> None:
    """Two `images`, because the exporter takes one to mean that there is never another number of them."""
    try:
        with redirect_stderr(io.StringIO()):  # where torch prints the whole graph of what it cannot follow
            program = torch.onnx.export(
                model.eval(),
                (images,),
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise SearchError(f"the model cannot be written as ONNX: {first_line(error.__cause__ or error)}") from None
    assert program is not None
    program.model.metadata_props.update(metadata)
    write_whole(path, lambda part: program.save(str(part)))
