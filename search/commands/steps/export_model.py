"""`search export --model`: a folder with the trained model, its card and its config."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from optuna.study import Study

from search.analysis.view import StudyView
from search.commands.steps.export import write_yaml
from search.commands.steps.weights import Weights
from search.files.atomic import write_text, write_whole
from search.reporting.card import card
from search.study.known import layers_of
from search.trained.about import About
from search.trained.code import loading, needs_file

MODEL, CONFIG, CARD = "model.safetensors", "config.yaml", "README.md"


def write_model(study: Study, weights: Weights, folder: Path, code: Sequence[Path] = ()) -> None:
    """Write the weights, the card and the config of a trial into `folder`. Raises OSError, SearchError.

    `code`: Python files that the user names, of which one may have the layers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    view, about = StudyView(study), weights.about
    model = layers_of(about.config.model, weights.file, code)
    about = About(about.classes, about.spec, about.prints, about.config.model_copy(update={"model": model}))
    files = [
        f"- `{MODEL}`: the weights. Its metadata has the classes, and how a picture becomes its image.",
        f"- `{CONFIG}`: the settings; `search train {CONFIG}` trains it again.",
    ]
    own = needs_file(about)
    if own is not None:
        shutil.copyfile(own, folder / Path(own).name)
        files.append(f"- `{Path(own).name}`: the layers. What this file imports from its folder is not copied.")
    write_whole(folder / MODEL, lambda part: shutil.copyfile(weights.file, part))
    write_yaml(study, weights.trial, folder / CONFIG)
    text = card(
        view,
        weights.trial,
        source=str(weights.source),
        code=loading(about, MODEL),
        sees=str(about.spec),
        files=files,
    )
    write_text(folder / CARD, text)
