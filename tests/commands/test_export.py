"""A trial as YAML and back: nothing lost, nothing wrong let through."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from search import __version__
from search.commands.steps import export
from search.commands.steps.export import read_best, write_best
from search.config import TrainConfig
from search.errors import SearchError

CONFIG: dict[str, Any] = TrainConfig(
    model="alexnet", dataset="caltech101", epochs=3, lr=1e-3, weight_decay=1e-5, step_size=5, gamma=0.1, seed=3
).model_dump(mode="json")
RAN_ON = {"device": "cpu", "device_name": "AVX2", "precision": "fp32", "threads": 2, "torch": "2", "torchvision": "0"}


def study(*values: float | None, name: str = "alexnet", config: dict[str, Any] | None = None) -> Study:
    """A study in memory with a trial for each value; None: a failed one."""
    made = optuna.create_study(study_name=name, direction="maximize")
    made.set_user_attr("metric", "val_acc")
    for number, value in enumerate(values):
        attrs = {"config": (config or CONFIG) | ({} if config else {"seed": number}), "ran_on": RAN_ON}
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        made.add_trial(create_trial(state=state, value=value, user_attrs=attrs))
    return made


def test_round_trip_of_the_best(tmp_path: Path) -> None:
    path = write_best(study(0.5, 0.75, None, 0.25), tmp_path / "reports")
    assert path == tmp_path / "reports" / "alexnet.best.yaml"
    best = read_best(path)
    assert best.config == TrainConfig(**CONFIG | {"seed": 1, "precision": "fp32"})  # what auto meant
    assert (best.study, best.trial, best.metric, best.value) == ("alexnet", 1, "val_acc", 0.75)
    assert best.ran_on == RAN_ON


def test_the_file_says_everything(tmp_path: Path) -> None:
    path = write_best(study(0.5), tmp_path)
    assert path.read_text().startswith(f"# search train {path}\n")
    content = yaml.safe_load(path.read_text())
    assert set(content["config"]) == set(TrainConfig.model_fields)
    assert content["state"] == "COMPLETE"
    assert {"python", "search", "optuna", "ray"} <= set(content["versions"])
    assert {"torch", "device", "threads", "precision"} <= set(content["ran_on"])


def test_another_trial_by_its_number(tmp_path: Path) -> None:
    path = write_best(study(0.5, 0.75), tmp_path, 0)
    assert path.name == "alexnet.trial-0.yaml"
    assert (read_best(path).trial, read_best(path).value) == (0, 0.5)


def test_a_pruned_trial_has_no_value(tmp_path: Path) -> None:
    made = study(0.5)
    made.add_trial(create_trial(state=TrialState.PRUNED, user_attrs={"config": CONFIG}))
    assert read_best(write_best(made, tmp_path, 1)).value is None


@pytest.mark.parametrize(
    ("values", "number", "says"),
    [
        ((), None, "'alexnet' has no completed trial"),
        ((None,), None, "'alexnet' has no completed trial"),
        ((0.5, None), 1, "trial 1 of 'alexnet' is FAIL"),
        ((0.5,), 1, "has no trial 1; it has 1, counted from 0"),
        ((0.5,), -1, "has no trial -1"),
    ],
)
def test_nothing_to_export(tmp_path: Path, values: tuple[float | None, ...], number: int | None, says: str) -> None:
    with pytest.raises(SearchError, match=says):
        write_best(study(*values), tmp_path / "reports", number)
    assert not (tmp_path / "reports").exists()


finite = st.floats(min_value=1e-300, max_value=1e300, allow_nan=False)
words = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(
        [
            "\x85",
            "\u2028",
            "1e-3",
            "1E5",
            "null",
            "yes",
            "0x1f",
            "1:30",
            "- a",
            "a: b",
            "&a",
            "*a",
            "!!int",
            "2001-01-01",
            "~",
        ]
    ),
)
configs = st.builds(
    TrainConfig,
    model=words,
    dataset=words,
    weights=st.none() | words,
    epochs=st.integers(1, 2**31 - 1),
    batch_size=st.integers(1, 10**12),
    lr=finite,
    momentum=st.floats(0, 1, exclude_max=True),
    weight_decay=finite,
    step_size=st.integers(1, 10**6),
    gamma=st.floats(0, 1, exclude_min=True),
    frozen=st.lists(words, max_size=3).map(tuple),
    precision=st.sampled_from(["fp32", "bf16"]),
    optimizer=st.sampled_from(["sgd", "adamw", "adam"]),
    dropout=st.none() | st.floats(0, 1, exclude_max=True),
    layer_decay=st.floats(1, 100),
    augment=st.sampled_from(["none", "trivialaugment"]),
    seed=st.integers(0, 2**32 - 1),
)


@given(config=configs, name=words.filter(bool), value=st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_config_comes_back(tmp_path: Path, config: TrainConfig, name: str, value: float) -> None:
    made = optuna.create_study(study_name=name, direction="maximize")
    attrs = {"config": config.model_dump(mode="json")}
    made.add_trial(create_trial(state=TrialState.COMPLETE, value=value, user_attrs=attrs))
    best = read_best(write_best(made, tmp_path))
    assert (best.config, best.study, best.value) == (config, name, value)


def test_numbers_as_people_write_them(written: Callable[[str, str], Path]) -> None:
    for text, value in (("1e-3", 0.001), ("1E-3", 0.001), ("2.e-1", 0.2), (".5e+1", 5.0), ("+1e0", 1.0), ("1", 1.0)):
        assert read_best(written("lr: 0.001", f"lr: {text}")).config.lr == value


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str], Path]:
    """A good file in which one text, which must be there, is replaced by another."""
    good = write_best(study(0.5), tmp_path).read_text()

    def make(old: str, new: str) -> Path:
        assert good.count(old) == 1
        path = tmp_path / "bad.yaml"
        path.write_text(good.replace(old, new))
        return path

    return make


def test_a_checkout_that_is_not_installed_names_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if name == "search":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(export, "version", installed)
    content = yaml.safe_load(write_best(study(0.5), tmp_path).read_text())
    assert content["versions"]["search"] == __version__


def test_a_file_of_an_earlier_version(written: Callable[[str, str], Path]) -> None:
    path = written("  optimizer: sgd\n", "")
    assert read_best(path).config.optimizer == "sgd"


BAD = {
    "unknown field": ("  lr: 0.001", "  lr: 0.001\n  learn_rate: 1", "config: unknown field 'learn_rate'"),
    "nearest name": ("  momentum:", "  momentun:", r"unknown field 'momentun'; did you mean 'momentum'\?"),
    "missing field": ("  gamma: 0.1\n", "", r"config: the field 'gamma' is missing \(factor of"),
    "wrong type": ("  lr: 0.001", "  lr: fast", "config: lr='fast'"),
    "number as text": ("  lr: 0.001", "  lr: '0.001'", "config: lr='0.001'"),
    "truth for a number": ("  epochs: 3", "  epochs: yes", "config: epochs=True"),
    "out of range": ("  momentum: 0.9", "  momentum: 1.5", "config: momentum=1.5"),
    "no number": ("  lr: 0.001", "  lr: .nan", "config: lr=nan"),
    "infinite": ("  lr: 0.001", "  lr: 1e999", "config: lr=inf"),
    "twice": ("  lr: 0.001", "  lr: 0.001\n  lr: 0.01", "the key 'lr' stands twice"),
    "alias": ("  lr: 0.001", "  lr: &a 0.001\n  weights: *a", "aliases are not used here"),
    "tag": ("  lr: 0.001", "  lr: !!python/object/apply:os.mkdir [pwned]", "python/object/apply:os.mkdir"),
    "merge": ("  lr: 0.001", "  <<: {lr: 0.001}", "no valid YAML"),
    "broken": ("  lr: 0.001", "  lr: [0.001", "no valid YAML"),
    "impossible date": ("  lr: 0.001", "  lr: 2001-99-99", "no valid YAML"),
    "no study": ("study: alexnet\n", "", "'study' is missing"),
    "study as a number": ("study: alexnet", "study: 7", "'study' is of the wrong type"),
    "truth for a trial": ("trial: 0", "trial: true", "'trial' is of the wrong type"),
    "value as text": ("value: 0.5", "value: good", "'value' is of the wrong type"),
    "no config": ("config:\n", "settings:\n", "it has no 'config'"),
    "config as text": ("config:\n", "config: all\nsettings:\n", "it has no 'config'"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_wrong_is_named(bad: str, written: Callable[[str, str], Path], tmp_path: Path) -> None:
    old, new, says = BAD[bad]
    path = written(old, new)
    with pytest.raises(SearchError, match=says) as error:
        read_best(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert not Path("pwned").exists()


def test_the_line_is_named(written: Callable[[str, str], Path]) -> None:
    path = written("  lr: 0.001", "  lr: 0.001\n  lr: 0.01")
    assert path.read_text().splitlines()[1] == "config:"
    with pytest.raises(SearchError, match=r"bad\.yaml:3: no valid YAML"):  # where the mapping begins
        read_best(path)


@pytest.mark.parametrize(
    "content", [b"\x00\x01\x02", b"\xff\xfe\xfa", b"", b"- 1\n", b"just words", b"[" * 5000, b"a: " + b"9" * 5000]
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(SearchError, match=r"bad\.yaml"):
        read_best(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"none\.yaml: cannot be read"):
        read_best(tmp_path / "none.yaml")
    with pytest.raises(SearchError, match="cannot be read"):
        read_best(tmp_path)


def test_the_config_of_an_own_train_is_not_ours_to_train(tmp_path: Path) -> None:
    path = write_best(study(0.5, config={"alpha": 0.1, "loss": "hinge"}), tmp_path)
    assert not path.read_text().startswith("#")
    with pytest.raises(SearchError, match=r"a train\(\) of its own"):
        read_best(path)


SETTINGS: dict[str, Any] = {
    "x": -1e-05, "name": "it's a \"b\"", "off": -math.inf, "many": ["features", "layer4.0"], "sure": True,
    "not_so": False, "nothing": None, "whole": -3, "dash": "-v",
}  # fmt: skip
