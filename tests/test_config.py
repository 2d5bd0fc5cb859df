from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from search import Epoch, TrainConfig
from search.config import check_value, is_config, is_train_config, make_config, with_defaults
from search.errors import SearchError

SETTINGS: dict[str, Any] = dict(model="cnn", dataset="digits", epochs=3, lr=0.1, step_size=2, gamma=0.5)

WRONG = [
    ("model", 3, "model=3: input should be a valid string"),
    ("hidden", 512, "hidden=512: input should be a valid tuple"),
    ("hidden", (512, 0), "hidden.1=0: input should be greater than or equal to 1"),
    ("hidden", (512, 64.5), "hidden.1=64.5: input should be a valid integer"),
    ("subset", 0, "subset=0: input should be greater than or equal to 1"),
    ("subset", 10.0, "subset=10.0: input should be a valid integer"),
    ("weights", 3, "weights=3: input should be a valid string"),
    ("epochs", 0, "epochs=0: input should be greater than or equal to 1"),
    ("epochs", 2.0, "epochs=2.0: input should be a valid integer"),
    ("epochs", True, "epochs=True: input should be a valid integer"),
    ("batch_size", 0, "batch_size=0: input should be greater than or equal to 1"),
    ("lr", 0, "lr=0: input should be greater than 0"),
    ("lr", -0.1, "lr=-0.1: input should be greater than 0"),
    ("lr", "0.1", "lr='0.1': input should be a valid number"),
    ("lr", float("nan"), "lr=nan: input should be a finite number"),
    ("lr", float("inf"), "lr=inf: input should be a finite number"),
    ("momentum", 1.0, "momentum=1.0: input should be less than 1"),
    ("weight_decay", -1e-9, "weight_decay=-1e-09: input should be greater than or equal to 0"),
    ("step_size", 0, "step_size=0: input should be greater than or equal to 1"),
    ("gamma", 1.1, "gamma=1.1: input should be less than or equal to 1"),
    ("frozen", "features", "frozen='features': input should be a valid tuple"),
    ("frozen", ("features", 1), "frozen.1=1: input should be a valid string"),
    ("precision", "fp8", "precision='fp8': input should be 'auto', 'fp32', 'bf16' or 'fp16'"),
    ("optimizer", "sdg", "optimizer='sdg': input should be 'sgd', 'adamw' or 'adam'"),
    ("nesterov", 1, "nesterov=1: input should be a valid boolean"),
    ("schedule", "steps", "schedule='steps': input should be 'step', 'cosine', 'one_cycle', 'slanted_triangular' or"),
    ("warmup_epochs", -1, "warmup_epochs=-1: input should be greater than or equal to 0"),
    ("layer_decay", 0.5, "layer_decay=0.5: input should be greater than or equal to 1"),
    ("dropout", 1.0, "dropout=1.0: input should be less than 1"),
    ("label_smoothing", 1.0, "label_smoothing=1.0: input should be less than 1"),
    ("mixup", -0.1, "mixup=-0.1: input should be greater than or equal to 0"),
    ("cutmix", "1", "cutmix='1': input should be a valid number"),
    ("augment", None, "augment=None: input should be 'none', 'flip', 'crop_flip', 'randaugment' or 'trivialaugment'"),
    ("grad_clip", 0, "grad_clip=0: input should be greater than 0"),
    ("ema", 1.0, "ema=1.0: input should be less than 1"),
    ("seed", -1, "seed=-1: input should be greater than or equal to 0"),
    ("seed", 2**32, "seed=4294967296: input should be less than 4294967296"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_value_is_named_with_its_reason(name: str, value: Any, message: str) -> None:
    with pytest.raises(SearchError) as whole:
        make_config(SETTINGS | {name: value})
    with pytest.raises(SearchError) as single:
        check_value(name, value)
    # A space file is checked value by value, a YAML as a whole: both say the same.
    assert str(whole.value) == str(single.value)
    assert str(whole.value).startswith(message)


@given(
    st.fixed_dictionaries(
        {
            "epochs": st.integers(1, 1000),
            "batch_size": st.integers(1, 10**6),
            "lr": st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 5),
            "momentum": st.floats(0, 1, exclude_max=True),
            "weight_decay": st.floats(0, allow_infinity=False),
            "step_size": st.integers(1, 1000),
            "gamma": st.floats(0, 1, exclude_min=True),
            "frozen": st.lists(st.text()),
            "hidden": st.lists(st.integers(1, 10**6)),
            "subset": st.none() | st.integers(1, 10**9),
            "seed": st.integers(0, 2**32 - 1),
        }
    )
)
def test_what_check_value_takes_makes_a_config_that_json_gives_back(values: dict[str, Any]) -> None:
    for name, value in values.items():
        check_value(name, value)
    config = make_config(SETTINGS | values)
    assert (config.frozen, config.hidden) == (tuple(values["frozen"]), tuple(values["hidden"]))
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({n: v for n, v in SETTINGS.items() if n != "epochs"}, "the setting 'epochs' is missing"),
        (SETTINGS | {"momentun": 0.9}, "unknown setting 'momentun'"),
        (
            {n: v for n, v in SETTINGS.items() if n != "gamma"},
            r"the setting 'gamma' is missing \(factor of the learning rate at each decay \(step\)\): "
            "schedule='step' needs it, and another, such as schedule='cosine', does not",
        ),
        (
            SETTINGS | {"schedule": "step", "step_size": None},
            r"the setting 'step_size' is missing \(epochs .*\): schedule='step' needs it, and another, .*, does not",
        ),
    ],
)
def test_missing_and_unknown_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=f"^{message}$"):
        make_config(settings)


def test_a_config_is_frozen_and_every_field_says_what_it_is() -> None:
    config = make_config(SETTINGS)
    with pytest.raises(ValidationError, match="frozen"):
        config.lr = 1.0  # type: ignore[misc] # mypy's plugin knows it, too
    for model in (TrainConfig, Epoch):
        assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "slanted_triangular", "constant"])
def test_only_the_step_schedule_needs_a_step(schedule: str) -> None:
    config = make_config(dict(model="cnn", dataset="digits", epochs=3, lr=0.1, schedule=schedule))
    assert (config.step_size, config.gamma) == (None, None)


def test_the_config_of_an_earlier_version_is_one() -> None:
    """Its fields alone; what came later defaults to what was done then."""
    fields = ["model", "dataset", "weights", "epochs", "batch_size", "lr", "momentum", "weight_decay", "step_size"]
    fields += ["gamma", "frozen", "precision", "seed"]
    whole = make_config(SETTINGS)
    earlier = {name: getattr(whole, name) for name in fields}
    assert is_train_config(earlier)
    assert make_config(earlier) == whole
    assert not any(is_train_config({n: v for n, v in earlier.items() if n != gone}) for gone in fields)


def test_only_all_of_the_fields_are_a_train_config() -> None:
    whole = make_config(SETTINGS).model_dump()
    assert is_train_config(whole)
    assert not is_train_config(SETTINGS)
    assert not is_train_config(whole | {"alpha": 1})


def test_settings_of_an_older_version_get_the_defaults() -> None:
    assert make_config(with_defaults(SETTINGS)) == make_config(SETTINGS)
    assert with_defaults({**SETTINGS, "momentum": 0.5})["momentum"] == 0.5


def test_a_config_of_an_older_version_is_the_same_config() -> None:
    made = make_config(dict(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.5, frozen=("0",)))
    kept = json.loads(made.model_dump_json())
    assert is_config(json.dumps(kept), made)
    del kept["focal_gamma"], kept["sampler"]  # which came later
    assert is_config(json.dumps(kept), made)
    for other in (json.dumps(kept | {"lr": 0.2}), json.dumps(kept | {"new": 1}), "{}", "null"):
        assert not is_config(other, made)
    assert not is_config(None, made)
    assert not is_config("{", made)
