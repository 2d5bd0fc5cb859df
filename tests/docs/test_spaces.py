"""The space files that come with the project."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from conftest import Cli
from optuna.trial import FixedTrial
from pictures import lay_out
from safetensors.torch import load_file

from search import Choice, SearchSpace, TrainConfig, models
from search.config import make_config
from search.doctor.preflight import preflight
from search.models.efficientnet_lite import CUTS, LITE
from search.models.torchvision import weights_of
from search.space.file import SpaceFile, load_space
from search.train.freeze import freeze, layer_groups

SPACES = Path(__file__).resolve().parents[2] / "spaces"
FILES = sorted(SPACES.glob("*.py"))

pytestmark = pytest.mark.usefixtures("sys_path")


@pytest.fixture(params=FILES, ids=[file.stem for file in FILES])
def space(request: pytest.FixtureRequest) -> SpaceFile:
    return load_space(request.param)


def test_there_are_space_files() -> None:
    assert {*SEARCHES, "sklearn_digits"} <= {file.stem for file in FILES}


def test_its_docstring_says_what_it_searches(space: SpaceFile) -> None:
    first = space.path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""')
    assert first.rstrip('"').endswith(".")


def test_every_combination_is_a_config(space: SpaceFile) -> None:
    assert isinstance(space.space, SearchSpace)
    combos = list(space.space.combinations())
    assert combos
    if space.train is None:
        assert all(isinstance(make_config(settings), TrainConfig) for settings in combos)


@pytest.mark.usefixtures("thin_vits")
def test_every_combination_builds(space: SpaceFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `search run` would check it, with weights of zeros and an empty archive where the real ones would lie."""
    archive = tmp_path / "data" / "caltech101" / "101_ObjectCategories.tar.gz"
    archive.parent.mkdir(parents=True)
    archive.touch()
    (tmp_path / "data" / "cifar-10-batches-py").mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert isinstance(space.space, SearchSpace)
    pretrained = {c["model"] for c in space.space.combinations() if c.get("weights") == "DEFAULT"}
    pretrained -= {LITE, *CUTS}  # a package carries these
    for model in pretrained:
        url = weights_of(model).url
        file = tmp_path / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        with torch.device("meta"):
            state = models.build(model, 1000).state_dict()
        # One value a tensor in the file, however large the tensor is.
        torch.save({name: torch.zeros((), dtype=of.dtype).expand(of.shape) for name, of in state.items()}, file)
    monkeypatch.setattr("search.models.base.check_published", lambda file, published: None)  # these are not
    preflight(space, tmp_path / "data")


def test_a_point_of_it_can_be_asked_for_and_found_again(space: SpaceFile) -> None:
    assert isinstance(space.space, SearchSpace)
    for wanted in space.space.combinations():
        params = space.space.params(wanted)
        assert params is not None
        assert space.suggest(FixedTrial(params)) == wanted


def test_alexnet_freezes_only_what_was_trained() -> None:
    loaded = load_space(SPACES / "alexnet_caltech.py")
    assert isinstance(loaded.space, SearchSpace)
    points = {(c["weights"], c.get("frozen")) for c in loaded.space.combinations()}
    assert points == {(None, None)} | {("DEFAULT", f) for f in ((), ("features",), ("classifier",))}
    # And `--set weights=scratch` leaves nothing to freeze, nothing to download.
    scratch = load_space(SPACES / "alexnet_caltech.py", ["weights=scratch"])
    settings: dict[str, Any] = dict(scratch.space.walk()) if isinstance(scratch.space, SearchSpace) else {}
    assert settings["weights"] is None
    assert "frozen" not in settings
    assert {name for name, setting in settings.items() if isinstance(setting, Choice)} == {"gamma"}


def test_the_example_of_a_train_of_ones_own_trains() -> None:
    loaded = load_space(SPACES / "sklearn_digits.py")
    assert loaded.train is not None
    epochs = list(loaded.train({"loss": "hinge", "alpha": 1e-4, "epochs": 3}))
    assert len(epochs) == 3
    assert all(0.5 < epoch[loaded.metric] <= 1 for epoch in epochs)
    code = (SPACES / "sklearn_digits.py").read_text(encoding="utf-8").partition("def train")[2].strip().splitlines()
    assert len(code) <= 10


def test_the_head_of_efficientnet_has_as_many_weights_as_its_docstring_says() -> None:
    head = models.build("efficientnet_lite0", 101).get_submodule("classifier")
    text = (SPACES / "efficientnet_caltech.py").read_text(encoding="utf-8")
    assert f"{sum(p.numel() for p in head.parameters()):,}" in text


SEARCHES = ["alexnet_caltech", "digits", "efficientnet_caltech", "mlp_cifar10", "resnet50_caltech", "ulmfit_caltech"]
SEARCHES += ["finetune_caltech", "flat_or_bottleneck", "mobile_caltech", "vit_caltech"]


@pytest.mark.parametrize("name", SEARCHES)
def test_its_docstring_states_command_and_cost(name: str) -> None:
    text = ast.get_docstring(ast.parse((SPACES / f"{name}.py").read_text(encoding="utf-8")))
    assert text is not None
    assert f"\nsearch run spaces/{name}.py\n" in text
    assert re.search(r"^Cost: .*\(20\d\d-\d\d-\d\d[,)]", text, re.MULTILINE | re.DOTALL)
    assert "\nExpected: " in text or name == "efficientnet_caltech"


def test_hand_tuned_rows_that_docstrings_cite_are_in_the_file() -> None:
    rows = {row.name: row for row in load_space(SPACES / "alexnet_caltech.py").baselines}
    cited = {
        "alexnet_caltech": [
            *(("Model 3", "val_acc"), ("Transfer Model 3", "val_acc")),
            *(("M3 fully connected", "val_acc"), ("M3 convolutional", "val_acc")),
        ],
        "resnet50_caltech": [("ResNet-50 Model 3", "val_acc"), ("ResNet-50 Model 3", "test_acc")],
    }
    for name, cells in cited.items():
        text = (SPACES / f"{name}.py").read_text(encoding="utf-8")
        for row, column in cells:
            assert f"{getattr(rows[row], column):.3f}" in text, (name, row)


def test_the_hand_tuned_resnet_is_a_point_and_mixed_precision_can_be_set() -> None:
    loaded = load_space(SPACES / "resnet50_caltech.py", ["precision=fp16"])
    assert isinstance(loaded.space, SearchSpace)
    points = [row.name for row in loaded.baselines if loaded.space.params(row.settings)]
    assert points == ["ResNet-50 Model 3"]
    assert {settings["precision"] for settings in loaded.space.combinations()} == {"fp16"}


def test_finetuning_freezes_the_lower_stages_or_all_but_the_head_or_nothing() -> None:
    loaded = load_space(SPACES / "finetune_caltech.py")
    assert isinstance(loaded.space, SearchSpace)
    frozen = {settings["frozen"] for settings in loaded.space.combinations()}
    model = models.build("efficientnet_lite0", 101)
    freeze(model, max(frozen, key=len))
    assert [group[0] for group in layer_groups(model)] == ["features._blocks.11", "features._blocks.15", "classifier"]
    assert {(), ("features",)} < frozen
    assert len(frozen) == 3


def test_the_paper_s_own_recipe_is_a_point_of_the_ulmfit_space() -> None:
    loaded = load_space(SPACES / "ulmfit_caltech.py", ["recipe=ulmfit"])
    assert isinstance(loaded.space, SearchSpace)
    config = make_config(next(iter(loaded.space.combinations())))
    assert (config.schedule, config.layer_decay, config.gradual_unfreeze) == ("slanted_triangular", 2.6, True)
    groups = layer_groups(models.build(config.model, 101))
    assert config.epochs > len(groups) == 8  # one group more from epoch to epoch, and all of them at the end
    assert loaded.pruner is not None
    assert getattr(loaded.pruner, "min_resource", 0) >= len(groups)  # none is stopped before all its layers train


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("resnet50_caltech", ["frozen=lower_half", "image_side=64"]),
        pytest.param("vit_caltech", ["grad_clip=one"], marks=pytest.mark.slow),
    ],
)
def test_weights_in_a_file_go_the_whole_way(
    name: str, fixed: list[str], cli: Cli, tmp_path: Path, torch_threads: None
) -> None:
    """A state dict of torchvision's format, after two steps of training; the ImageNet weights are not here."""
    lay_out(tmp_path / "data" / "sea", {"crab": 9, "octopus": 9, "starfish": 9}, "jpg")
    space = load_space(SPACES / f"{name}.py").space
    assert isinstance(space, SearchSpace)
    model = torchvision.models.get_model(dict(space.walk())["model"])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    side = 224 if name.startswith("vit") else 64
    for _ in range(2):
        model(torch.rand(2, 3, side, side)).square().mean().backward()
        optimizer.step()
    torch.save(model.state_dict(), "trained.pth")
    text = (SPACES / f"{name}.py").read_text(encoding="utf-8")
    text = text.replace('="DEFAULT"', '="trained.pth"').replace('"baselines/', f'"{SPACES}/baselines/')
    (tmp_path / "space.py").write_text(text, encoding="utf-8")
    words = [word for value in ["weights=imagenet", "dataset=imagefolder:sea", *fixed] for word in ("--set", value)]
    done = cli("run", "space.py", *words, "--epochs", 1, "--trials", 1, "--engine", "inline", "--cold")
    assert (done.status, done.err) == (0, "")
    begun = torch.load("trained.pth", weights_only=True)
    ended = load_file("runs/space/weights/0.safetensors")
    assert {key for key in begun if begun[key].shape != ended[key].shape} <= {"fc.weight", "fc.bias"} | {
        "heads.head.weight", "heads.head.bias",
    }  # fmt: skip
    if name == "resnet50_caltech":
        assert torch.equal(begun["layer2.0.conv1.weight"], ended["layer2.0.conv1.weight"])  # frozen
    weights = [key for key in begun if key.endswith("weight") and begun[key].ndim > 1]
    same = [key for key in weights if begun[key].shape == ended[key].shape]
    assert all((begun[key] - ended[key]).abs().mean() < 0.3 * begun[key].abs().mean() for key in same)
    again = cli("train", "reports/space.best.yaml", "--verify")
    assert again.status == 0
    assert "reproduced: val_acc " in again.out
    assert ", exactly trial 0's" in again.out
