"""`search export --onnx`: the model that `search train` wrote, for programs that run it without PyTorch."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from optuna.study import Study
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import nn

from search.commands.steps.export import best_path, pick
from search.config import make_config
from search.errors import SearchError, first_line
from search.files.atomic import write_whole
from search.models import build
from search.models.base import extra
from search.models.images import read_spec
from search.study.attributes import config_of


def write_onnx(study: Study, folder: Path, path: Path, number: int | None = None) -> Path:
    """Write the trained model of a trial, by default the best one's, to `path`; returns the safetensors it read.

    Input ``images`` (N, C, H, W), float32, normalised as in training; output ``logits`` (N, classes), float32; N is
    free. The metadata is the safetensors', as JSON: `classes` in the order of the logits, `input`, which says how a
    picture becomes an image, the fingerprints of the `data`, of its `test` split and of the `weights` that the training
    began with, and `config`. Beside these there are, of `input`, `mean` and `std` of each channel for values in [0, 1],
    and `resize`, the pixels of the short side before the centre is cut out, or height and width. The data set is not
    asked. Raises SearchError if the model is not there, is of another config, or cannot be exported.
    """
    extra("onnxscript", "onnx")
    trial, best = pick(study, number), best_path(study, folder, number)
    weights = best.with_suffix(".safetensors")
    about = _about(weights, f"search train {best}")
    config = make_config(about["config"])
    expected = {**config_of(trial), "precision": config.precision}
    if config.model_dump(mode="json") != json.loads(json.dumps(expected)):
        raise SearchError(f"{weights} is not of trial {trial.number}'s config; `search train {best}` writes it anew")
    spec = read_spec(about["input"])
    model = build(config.model, len(about["classes"]), len(spec.channels), None, spec.crop, config.hidden)
    try:
        load_model(model, weights)
    except (RuntimeError, SafetensorError) as error:
        raise SearchError(
            f"{weights}: not the weights of {config.model} for {config.dataset}: {first_line(error)}"
        ) from None
    resize = spec.resize[0] if spec.resize[0] == spec.resize[1] else spec.resize
    about |= {"mean": spec.mean, "std": spec.std, "resize": resize, "config": config.model_dump(mode="json")}
    metadata = {name: json.dumps(value) for name, value in about.items()}
    _export(model, torch.zeros(2, len(spec.channels), *spec.crop), path, metadata)
    return weights


def _about(weights: Path, remedy: str) -> dict[str, Any]:
    """What `search train` put into the file's metadata."""
    if not weights.is_file():
        raise SearchError(f"no {weights}: `{remedy}` trains the model and writes it")
    try:
        with safe_open(weights, "pt") as file:
            kept = file.metadata() or {}
        names = ("classes", "input", "data", "test", "weights", "config")
        about = {name: json.loads(kept[name]) for name in names if name in kept}
        make_config(about["config"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SearchError(f"{weights}: no model of `search train`: {first_line(error)}") from None
    if not {"classes", "input"} <= about.keys():
        raise SearchError(f"{weights}: an older version wrote it, without its classes; `{remedy}` writes it anew")
    return about


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
