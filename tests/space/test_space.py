from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial

from search import Choice, Float, Int, SearchSpace
from search.errors import SearchError
from search.space.space import parse_value

optuna.logging.set_verbosity(optuna.logging.WARNING)

RECIPE = SearchSpace(
    lr=Float(1e-3, 1e-1, log=True),
    epochs=10,
    recipe=Choice(
        plain=dict(),
        step=dict(schedule="step", size=Int(5, 25, step=5), warm=Choice(no=dict(), yes=dict(warmup=Int(1, 3)))),
        cosine=dict(schedule="cosine", warm=Choice(no=dict(), yes=dict(warmup=Int(2, 9))), size=Int(1, 4)),
    ),
    frozen=Choice((), ("features",), all=("features", "classifier")),
)


def ask(space: SearchSpace, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and parameters of a random point."""
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return space.suggest(trial), trial.params


def varying(space: SearchSpace) -> set[str]:
    return {name for name, setting in space.walk() if isinstance(setting, (BaseDistribution, Choice))}


NUMBERS: list[Any] = [
    Float(0, 1), Float(1e-5, 1, log=True), Float(0, 1, step=0.25), Int(1, 9), Int(2, 32, log=True), Int(0, 8, step=4)
]  # fmt: skip
FIXED: list[Any] = [None, 0, 0.5, "adam", (), ("features",)]


def settings(prefix: str = "", depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Settings of a space. The branches of one Choice share names; two Choices never set the same one."""
    chosen: dict[str, st.SearchStrategy[Any]] = {}
    for name in (f"{prefix}a", f"{prefix}b"):
        options = st.sampled_from(FIXED) | settings(name, depth - 1) if depth else st.sampled_from(FIXED)
        labelled = st.dictionaries(st.sampled_from(["left", "right", "third"]), options, min_size=1)
        chosen[name] = st.sampled_from([*NUMBERS, *FIXED]) | labelled.map(lambda options: Choice(**options))
    return st.fixed_dictionaries({}, optional=chosen)


@given(settings(), st.integers(0, 99))
def test_the_params_of_a_points_settings_give_these_settings_again(parts: dict[str, Any], seed: int) -> None:
    space = SearchSpace(**parts)
    wanted, _ = ask(space, seed)
    params = space.params(wanted)
    assert params is not None
    got = space.suggest(FixedTrial(params))
    assert {name: got.get(name) for name in wanted} == wanted


def test_zero_is_no_point_of_a_logarithmic_range() -> None:
    """A hand-tuned row without weight decay, say."""
    space = SearchSpace(weight_decay=Float(1e-6, 1e-2, log=True))
    assert space.params({"weight_decay": 0.0}) is None


@given(settings(), st.data())
def test_fixing_a_setting_takes_its_dimension_away(parts: dict[str, Any], data: st.DataObject) -> None:
    space = SearchSpace(**parts)
    free = {name: s for name, s in space.walk() if isinstance(s, (BaseDistribution, Choice))}
    if not free:
        return
    name = data.draw(st.sampled_from(sorted(free)))
    setting = free[name]
    text = data.draw(st.sampled_from(list(setting.options))) if isinstance(setting, Choice) else "1"
    elsewhere = [s for n, s in space.walk() if n == name and isinstance(s, Choice) and text not in s.options]
    if elsewhere:  # the name stands in another branch too, and there it has no such option
        with pytest.raises(SearchError, match=" is one of "):
            space.fix(name, text, free=True)
        return
    fixed = space.fix(name, text, free=True)
    assert name not in varying(fixed)
    assert varying(fixed) < varying(space)
    assert not {d for _, params in [ask(fixed, 0)] for d in params if d.rpartition(".")[2] == name}


@given(settings(depth=1), st.integers(0, 99))
def test_every_point_is_one_of_the_combinations_but_for_its_numbers(parts: dict[str, Any], seed: int) -> None:
    space = SearchSpace(**parts)
    got, _ = ask(space, seed)
    assert set(got) in [set(each) for each in space.combinations()]
    assert space.always() == set.intersection(*(set(each) for each in space.combinations()))


def test_a_branch_has_its_dimensions_only_where_it_is_taken() -> None:
    for seed in range(40):
        got, params = ask(RECIPE, seed)
        assert got["epochs"] == 10
        assert "epochs" not in params
        if params["recipe"] == "plain":
            assert set(params) == {"lr", "recipe", "frozen"}
            assert set(got) == {"lr", "epochs", "frozen"}
        else:
            # `size` and `warm` vary in both branches: two dimensions each, or the sampler would mix them up.
            assert {f"{params['recipe']}.size", f"{params['recipe']}.warm"} <= set(params)
            assert got["schedule"] == params["recipe"]
            assert ("warmup" in got) == (params[f"{params['recipe']}.warm"] == "yes")


def test_one_study_takes_every_branch_of_a_space_with_shared_names() -> None:
    # Optuna refuses a Choice whose options differ from those of an earlier trial under the same name.
    inner = {"left": dict(x=Choice(a=dict(y=Choice(1, 2)))), "right": dict(x=Choice(a=dict(y=Choice(3, 4))))}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = {SearchSpace(side=Choice(**inner)).suggest(study.ask())["y"] for _ in range(40)}
    assert seen == {1, 2, 3, 4}


def test_the_storage_holds_labels_and_the_config_holds_values() -> None:
    space = SearchSpace(frozen=Choice((), ("features",), all=("features", "classifier")), gamma=Choice(0.1, 0.5))
    trial = FixedTrial({"frozen": "all", "gamma": "0.5"})
    assert space.suggest(trial) == {"frozen": ("features", "classifier"), "gamma": 0.5}
    assert list(space.settings["frozen"].options) == ["none", "features", "all"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"lr": 0.5, "frozen": ()},  # out of range
        {"frozen": ()},  # lr is not given
        {"lr": 0.01, "frozen": ("classifier",)},  # no such option
        {"lr": 0.01, "frozen": (), "epochs": 11},  # fixed to another value
        {"lr": 0.01, "frozen": (), "schedule": "step", "size": 7},  # off the step
        {"lr": 0.01, "frozen": (), "momentum": 0.8},  # not the default of a setting that the space leaves alone
    ],
)
def test_settings_that_are_no_point_of_the_space(wanted: dict[str, Any]) -> None:
    assert RECIPE.params(wanted) is None


def test_settings_that_leave_out_what_is_fixed_or_default_are_a_point() -> None:
    assert RECIPE.params({"lr": 0.01, "frozen": (), "momentum": 0.9}) == {
        "lr": 0.01, "recipe": "plain", "frozen": "none"
    }  # fmt: skip


def test_fixing_a_choice_by_its_label_puts_its_branch_in() -> None:
    fixed = RECIPE.fix("recipe", "cosine", free=True).fix("warm", "no", free=True).fix("size", "3", free=True)
    assert varying(fixed) == {"lr", "frozen"}
    assert fixed.settings["schedule"] == "cosine"
    assert fixed.settings["size"] == 3


def test_fixing_what_a_branch_holds_fixes_it_there_only() -> None:
    space = SearchSpace(
        weights=Choice(scratch=None, imagenet=dict(weights="DEFAULT", frozen=Choice(none=(), f=("f",))))
    )
    combos = list(space.fix("frozen", "f").combinations())
    assert combos == [{"weights": None}, {"weights": "DEFAULT", "frozen": ("f",)}]


def test_a_setting_that_the_space_leaves_at_its_default_can_be_fixed() -> None:
    assert SearchSpace(lr=0.1).fix("batch_size", "32").settings["batch_size"] == 32


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lrr", "1", "set={'lrr': '1'}: unknown setting 'lrr'; did you mean 'lr'?"),
        ("recipe", "linear", "set={'recipe': 'linear'}: recipe is one of plain, step, cosine"),
    ],
)
def test_fixing_what_is_not_there(name: str, text: str, message: str) -> None:
    with pytest.raises(SearchError) as error:
        RECIPE.fix(name, text)
    assert str(error.value) == message
    with pytest.raises(SearchError, match="unknown setting 'batch_size'"):
        RECIPE.fix("batch_size", "32", free=True)  # a train() of its own does not have TrainConfig's settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lr", "1e-3", 1e-3),
        ("epochs", "3", 3),
        ("weights", "none", None),
        ("weights", "None", None),
        ("weights", "path/to/file.pth", "path/to/file.pth"),
        ("weights", "3in.pth", "3in.pth"),  # Python warns about this literal; nobody needs to see that
        ("frozen", "none", ()),
        ("frozen", "features", ("features",)),
        ("frozen", "features,layer4.0", ("features", "layer4.0")),
        ("frozen", "('features',)", ("features",)),
        ("x", "{[]: 1}", "{[]: 1}"),
        ("x", "1" * 5000, "1" * 5000),
    ],
)
def test_what_the_text_of_set_means(name: str, text: str, value: object) -> None:
    assert parse_value(name, text) == value


@given(st.sampled_from(["lr", "frozen"]), st.text())
def test_any_text_has_a_meaning(name: str, text: str) -> None:
    value = parse_value(name, text)
    assert isinstance(value, tuple) or name != "frozen"


@pytest.mark.parametrize(
    ("values", "message"), [((), "at least one option"), ((0.1, "0.1"), "two options labelled '0.1'")]
)
def test_impossible_choices(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choice(*values)


def test_options_that_have_no_say_stay_at_their_first() -> None:
    many = {f"n{i}": Choice(*range(10)) for i in range(50)}  # 10**50 combinations
    space = SearchSpace(**many, model=Choice("a", "b"), w=Choice(s=None, t=dict(frozen=Choice(none=(), f=("f",)))))
    found = [(each["model"], each.get("frozen")) for each in space.combinations({"model", "frozen"})]
    assert found == [("a", None), ("a", ()), ("a", ("f",)), ("b", None), ("b", ()), ("b", ("f",))]


def test_describe_tells_two_spaces_apart() -> None:
    assert RECIPE.describe() == SearchSpace(**RECIPE.settings).describe()
    assert SearchSpace(lr=Float(0, 1)).describe() != SearchSpace(lr=Float(0, 1, step=0.5)).describe()
    assert SearchSpace(g=Choice(a=1)).describe() != SearchSpace(g=Choice(a=2)).describe()
    assert SearchSpace(g=Choice(a=1)).describe() == {"g": "Choice(a=1)"}


@pytest.mark.parametrize(
    ("text", "value"), [("512,64,512", (512, 64, 512)), ("(512,)", (512,)), ("128", (128,)), ("none", ()), ("()", ())]
)
def test_set_takes_widths_of_hidden_layers(text: str, value: tuple[int, ...]) -> None:
    assert parse_value("hidden", text) == value
