"""`search export --onnx`: the model that `search train` wrote, for programs that run it without PyTorch."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path

import torch
from optuna.study import Study
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model
from torch import nn

from search.commands.steps.export import best_path, pick
from search.config import TrainConfig, make_config
from search.data.inputs import inputs
from search.data.registry import open_source
from search.errors import SearchError, first_line
from search.files.atomic import write_whole
from search.models import build
from search.models.base import extra
from search.study.attributes import config_of


def write_onnx(study: Study, folder: Path, data_root: Path, path: Path, number: int | None = None) -> Path:
    """Write the trained model of a trial, by default the best one's, to `path`; returns the safetensors it read.

    Input ``images`` (N, C, H, W), float32, normalised as in training; output ``logits`` (N, classes), float32; N is
    free. The metadata has, as JSON, `classes` in the order of the logits, `mean` and `std` of each channel for values
    in [0, 1], `resize`, the pixels of the short side before the centre is cut out,
    and `config`. Raises SearchError if the model is not there, is of another config, or cannot be exported.
    """
    extra("onnxscript", "onnx")
    trial, best = pick(study, number), best_path(study, folder, number)
    weights = best.with_suffix(".safetensors")
    config = _config_in(weights, f"search train {best}")
    expected = {**config_of(trial), "precision": config.precision}
    if config.model_dump(mode="json") != json.loads(json.dumps(expected)):
        raise SearchError(f"{weights} is not of trial {trial.number}'s config; `search train {best}` writes it anew")
    source = open_source(config.dataset, data_root)
    classes, _ = source.splits()
    spec = inputs(config.model, source, config.image_side, config.weights)
    model = build(config.model, len(classes), len(spec.channels), None, spec.crop, config.hidden)
    try:
        load_model(model, weights)
    except (RuntimeError, SafetensorError) as error:
        raise SearchError(
            f"{weights}: not the weights of {config.model} for {config.dataset}: {first_line(error)}"
        ) from None
    about = {"classes": classes, "mean": spec.mean, "std": spec.std, "resize": spec.resize[0]}
    metadata = {name: json.dumps(value) for name, value in about.items()} | {"config": config.model_dump_json()}
    _export(model, torch.zeros(2, len(spec.channels), *spec.crop), path, metadata)
    return weights


def _config_in(weights: Path, remedy: str) -> TrainConfig:
    """The config that `search train` put into the file's metadata."""
    if not weights.is_file():
        raise SearchError(f"no {weights}: `{remedy}` trains the model and writes it")
    try:
        with safe_open(weights, "pt") as file:
            settings = json.loads((file.metadata() or {})["config"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SearchError(f"{weights}: no model of `search train`: {first_line(error)}") from None
    return make_config(settings)


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
