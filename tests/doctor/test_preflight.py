from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import torch

from search import models
from search.doctor.preflight import preflight, prepare, ready, ready_to_confirm
from search.errors import SearchError
from search.space.file import load_space

pytestmark = pytest.mark.usefixtures("sys_path")
Write = Callable[[str, str], Path]

SPACE = """\
from search import Choice, Float, Int, SearchSpace
space = SearchSpace(
    dataset="digits", epochs=2, lr=Float(1e-3, 1e-1), step_size=1, gamma=1.0,
    MORE
)
"""


def check(write: Write, more: str, *overrides: str) -> None:
    preflight(load_space(write("s.py", SPACE.replace("MORE", more)), overrides), Path("data"))


def test_a_sound_space_passes_and_leaves_nothing_behind(write: Write, tmp_path: Path) -> None:
    check(write, "model=Choice('cnn', 'resnet18', 'regnet_y_400mf'), frozen=Choice(())")
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["s.py"]


def test_a_giant_is_built_in_no_time(write: Write) -> None:
    begin = time.monotonic()
    check(write, "model='vit_h_14'")  # 630 million parameters, 2.5 GB
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("model=Choice('cnn', 'resnet99')", "unknown model 'resnet99'; did you mean 'resnet"),
        ("model='cnn', frozen=Choice((), ('0',), ('7',))", "frozen='7' matches no parameter"),
        (
            "model='resnet18', frozen=('layer',)",
            "frozen='layer' matches no parameter of the model; did you",
        ),
        ("m=Choice(a=dict(model='cnn'), b=dict(model='alexnet', frozen=('0',)))", "frozen='0' matches no parameter"),
        ("model='mlp', hidden=Choice(a=(64,), b=(64, 8)), frozen=('7',)", "frozen='7' matches no parameter"),
        ("model=Choice('cnn', 'none.py:net')", "model='none.py:net': no file none.py"),
        ("model='cnn', weights=Choice(no=None, yes='w.pth')", "weights='w.pth': no such file"),
        ("model=Choice('cnn', 'alexnet'), image_side=32", "alexnet cannot take images of 32 x 32 px: RuntimeError: "),
        ("model='inception_v3', image_side=64", "inception_v3 cannot take images of 64 x 64 px: RuntimeError: "),
        (
            "model='vit_b_16', image_side=250",
            "vit_b_16 cannot take 250 x 250 px: Input shape indivisible by patch size",
        ),
        (
            "model='maxvit_t', image_side=64",
            "maxvit_t cannot take 64 x 64 px: Input size (16, 16) of block 0 is not",
        ),
        ("model='squared.py:net'", "squared.py:net cannot take images of 8 x 8 px: RuntimeError: addmm: mat1 and mat2"),
        (
            "model=Choice('cnn', 'resnet18'), batch_size=Choice(64, 1)",
            "batch_size=1: the batch normalisation 'bn1' compares the images of a step, and one has none to be "
            "compared with; take 2 or more, or freeze it",
        ),
    ],
)
def test_one_wrong_option_among_right_ones_is_found(write: Write, more: str, message: str) -> None:
    flat = "nn.Sequential(nn.Flatten(), nn.Linear(channels * 64 * 64, num_classes))"
    write("squared.py", f"from torch import nn\ndef net(num_classes, channels): return {flat}\n")
    with pytest.raises(SearchError) as error:
        check(write, more)
    assert f"s.py: {message}" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_every_model_that_adapts_takes_a_side_and_says_what_it_sees(write: Write, thin_vits: None) -> None:
    sided = "nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, num_classes))"
    write("own.py", f"from torch import nn\ndef net(num_classes, channels, side): return {sided}\n")
    names = ("cnn", "mlp", "own.py:net", "vit_b_32", "swin_t", "resnet18", "efficientnet_lite0")
    text = SPACE.replace("MORE", f"model=Choice(*{names}), image_side=96")
    said = preflight(load_space(write("s.py", text)), Path("data"))
    assert said == [
        f"{name} sees digits at 96 x 96 px, {how} (image_side)"
        for name, how in zip(names, ["bilinear"] * 4 + ["bicubic"] + ["bilinear"] * 2, strict=True)
    ]
    said = preflight(load_space(write("s.py", SPACE.replace("MORE", "model=Choice('cnn', 'swin_t')"))), Path("data"))
    assert said == [
        "cnn sees digits at 8 x 8 px, bilinear (the data set's own size; image_side=N chooses another)",
        "swin_t sees digits at 224 x 224 px, the centre of 232 x 232, bicubic (as its weights were made for; "
        "image_side=N chooses another)",
    ]


def test_what_was_read_of_a_weights_file_is_said(write: Write) -> None:
    torch.save(models.build("cnn", 5, channels=1).state_dict(), "w.pth")
    said = preflight(load_space(write("s.py", SPACE.replace("MORE", "model='cnn', weights='w.pth'"))), Path("data"))
    assert said[1:] == ["w.pth: 4 of 6 tensors; 2 is new: the file has one of 5 classes"]


def test_one_wrong_option_is_found_among_a_billion_combinations(write: Write) -> None:
    many = "model=Choice('cnn', 'resnet99'), " + ", ".join(
        f"{name}=Choice(*range(1, 1001))" for name in ("batch_size", "seed", "weight_decay")
    )
    with pytest.raises(SearchError, match="unknown model 'resnet99'"):
        check(write, many)


def test_weights_that_do_not_fit_are_found_before_any_trial(write: Write, tmp_path: Path) -> None:
    torch.save(models.build("cnn", 5, channels=1).state_dict(), tmp_path / "w.pth")  # grey, as the digits are
    check(write, "model='cnn', weights='w.pth'")
    with pytest.raises(SearchError, match=r"s.py: w.pth: not the weights of squeezenet1_0"):
        check(write, "model='squeezenet1_0', weights='w.pth'")


def test_missing_data_say_what_to_put_where(write: Write, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"no Caltech-101 in data/caltech101: put 101_ObjectCategories.tar.gz there"):
        check(write, "model='cnn'", "dataset=caltech101")


def test_a_train_of_its_own_is_left_alone(write: Write) -> None:
    own = "from search import SearchSpace\nspace = SearchSpace(model=3)\nmetric = 'score'\ndef train(config): yield"
    preflight(load_space(write("s.py", own)), Path("data"))


def test_a_function_is_checked_at_a_point_with_what_set_fixed(write: Write) -> None:
    text = """\
        def space(trial):
            settings = dict(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=1.0)
            if trial.suggest_categorical("deep", [True, False]):
                settings |= dict(model="resnet18", frozen=(trial.suggest_categorical("part", ["layer1", "layer2"]),))
            return settings
        """
    path = write("s.py", text)
    preflight(load_space(path, ["part=layer2"]), Path("data"))  # a dimension of some points only
    preflight(load_space(path, ["epochs=2"]), Path("data"))
    with pytest.raises(SearchError, match=r"set=\{'parts': 'layer2'\}: unknown setting 'parts'; did you mean 'part'\?"):
        preflight(load_space(path, ["parts=layer2"]), Path("data"))


def test_images_are_decoded_once_for_each_size_and_progress_is_told(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    space = load_space(write("s.py", SPACE.replace("MORE", "model='cnn', seed=Choice(1, 2)")))
    told: list[tuple[str, int, int]] = []
    prepare(space, Path("data"), lambda *words: told.append(words))
    assert {name for name, _, _ in told} == {"digits"}
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2] == 1347  # training and validation; the test split stays sealed
    made = {path for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert made
    told.clear()
    prepare(space, Path("data"), lambda *words: told.append(words))
    assert told == []  # the second time there is nothing to do
    assert {path for path in (tmp_path / "cache").rglob("*") if path.is_file()} == made


def test_every_kind_of_model_is_built_for_the_images_that_it_will_see(write: Write) -> None:
    net = "nn.Sequential(nn.Conv2d(channels, num_classes, 8), nn.Flatten())"
    write("own.py", f"from torch import nn\ndef net(num_classes, channels): return {net}")
    hidden = "hidden=Choice(linear=(), one=(64,), bottleneck=(64, 8, 64))"
    check(write, f"model=Choice('mlp', 'own.py:net', 'efficientnet_lite0'), {hidden}, subset=Choice(all=None, few=50)")
    torch.save(models.build("mlp", 10, 1, side=8, hidden=(64,)).state_dict(), "w.pth")
    check(write, "model='mlp', hidden=(64,), weights='w.pth'")  # fits 8 x 8 grey pixels only


def test_a_subset_smaller_than_the_classes_is_found_before_any_trial(write: Write) -> None:
    space = load_space(write("s.py", SPACE.replace("MORE", "model='cnn', subset=Choice(100, 9)")))
    with pytest.raises(SearchError, match="subset=9: fewer images than the 10 classes"):
        prepare(space, Path("data"), lambda *words: None)


def test_what_a_check_finds_travels_to_the_process_that_asked(write: Write) -> None:
    """Of a space, and of the configs of a confirmation: both answer from a process of their own."""
    path = write("s.py", SPACE.replace("MORE", "model='cnn'"))
    config = load_space(path).suggest(optuna.create_study().ask())
    for found in (ready(str(path), [], Path("data"), lambda *at: None), ready_to_confirm([config], Path("data"), None)):
        assert found.data
        assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
