"""Whatever comes in, it works or is a SearchError: one line, and no other exception. Drawn by hypothesis."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from faults.test_bad_files import BEST, CELLS, COLUMNS, HEAD, ROW, UNDER
from faults.test_bad_images import encoded
from faults.test_bad_options import VERBS, WORDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from refusals import GOOD

from search.commands.steps.export import read_best
from search.config import TrainConfig, make_config
from search.data.reading.decoding import pixels_of
from search.data.reading.pictures import read_picture
from search.errors import SearchError, visible
from search.files.atomic import file_name
from search.models import ImageSpec
from search.space.baseline_tables import import_table
from search.space.baselines import read_baselines
from search.space.file import load_space
from search.study.storage.open import check_storage, redact
from search.study.study import check_name

pytestmark = pytest.mark.usefixtures("sys_path")

few = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
text = st.text(max_size=40)
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    text,
    st.binary(max_size=10),
    st.just(10**400),
    st.just("1e-3"),
)
values = st.recursive(odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))


def works_or_is_one_line(call: Callable[[], object]) -> None:
    try:
        call()
    except SearchError as error:
        said = visible(str(error))
        assert said
        assert said.isprintable()


@st.composite
def damaged(draw: Any, whole: bytes) -> bytes:
    """`whole` with some of its bytes lost, changed or repeated."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        length = draw(st.integers(0, 12))
        data[at : at + length] = draw(st.binary(max_size=12) | text.map(lambda t: t.encode(errors="surrogatepass")))
    return bytes(data)


def file(name: str, content: bytes) -> Path:
    path = Path(name)
    path.write_bytes(content)
    return path


numbers = st.sampled_from(
    [
        "0",
        "-1",
        "1",
        "0.5",
        "1e-3",
        "1e999",
        "float('nan')",
        "10**400",
        "2**63",
        "True",
        "None",
        "'x'",
        "()",
        "[]",
        "{}",
    ]
)
made = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.builds("Float({}, {})".format, inner, inner),
        st.builds("Int({}, {}, step={})".format, inner, inner, inner),
        st.builds("Float({}, {}, log={})".format, inner, inner, inner),
        st.builds("Choice({}, {})".format, inner, inner),
        st.builds("Choice(a={}, b=dict(x={}))".format, inner, inner),
        st.builds("dict({})".format, inner),
        st.builds("Choice(a={{'x': {}, 1: {}}})".format, inner, inner),
    ),
    max_leaves=6,
)


@few
@given(setting=made, name=st.sampled_from(["x", "lr", "epochs", "frozen", "model", "hidden"]), own=st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_any_setting_of_a_space(setting: str, name: str, own: bool) -> None:
    head = "from search import Choice, Float, Int, SearchSpace\n"
    others = "" if own else "model='cnn', dataset='digits', epochs=1, lr=0.1, step_size=1, gamma=0.5"
    body = f"space = SearchSpace(**{{**dict({others}), {name!r}: {setting}}})\n" + ("def train(c): yield c\n" * own)
    path = file("s.py", (head + body).encode())
    works_or_is_one_line(lambda: load_space(path))


@few
@given(content=damaged(GOOD.encode()) | st.binary(max_size=200))
@pytest.mark.filterwarnings("ignore")
def test_any_space_file(content: bytes) -> None:
    if not any(word in content for word in (b"exec", b"open", b"os.")):
        works_or_is_one_line(lambda: load_space(file("s.py", content)))


@few
@given(changes=st.dictionaries(st.sampled_from([*TrainConfig.model_fields]) | text, values, max_size=4))
def test_any_config(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = dict(model="cnn", dataset="digits", epochs=1, lr=0.1, step_size=1, gamma=0.5)
    works_or_is_one_line(lambda: make_config(good | changes))


@few
@given(content=damaged(BEST.encode()) | st.binary(max_size=200))
def test_any_best_config(content: bytes) -> None:
    works_or_is_one_line(lambda: read_best(file("b.yaml", content)))


@few
@given(content=damaged(f"{HEAD}\n{ROW}\n".encode()) | st.binary(max_size=200))
def test_any_baselines(content: bytes) -> None:
    works_or_is_one_line(lambda: read_baselines(file("rows.csv", content)))


@few
@given(content=damaged(f"{COLUMNS}\n{UNDER}\n{CELLS}\n{CELLS}\n".encode()) | st.binary(max_size=200))
def test_any_notes(content: bytes) -> None:
    path, out = file("n.md", content), Path("n.csv")

    def there_and_back() -> None:
        import_table(path, out)

    works_or_is_one_line(there_and_back)
    out.unlink(missing_ok=True)
    assert not list(Path.cwd().glob(".*.part"))


PICTURES = [encoded(kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")] + [
    encoded("PNG", Image.new("P", (9, 9))),
    encoded("JPEG", Image.new("CMYK", (9, 9))),
    encoded("PNG", Image.new("I;16", (9, 9))),
]


@few
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_any_picture(data: st.DataObject) -> None:
    content = data.draw(damaged(data.draw(st.sampled_from(PICTURES))) | st.binary(max_size=100))
    try:
        pixels = pixels_of(read_picture(content).image, ImageSpec((8, 8), (8, 8), (0.5,) * 3, (0.5,) * 3))
    except Exception:  # cache.load names the file, whatever Pillow raised
        return
    assert pixels.shape == (8, 8, 3)


@few
@given(name=st.text(max_size=300))
def test_any_study_name(name: str) -> None:
    works_or_is_one_line(lambda: check_name(name))
    part = file_name(name)
    assert Path(part).name == part
    assert part not in (".", "..")
    assert len(part.encode()) <= 180
    home = Path(tempfile.mkdtemp())
    (home / part).mkdir()  # every file system takes it
    shutil.rmtree(home)


schemes = st.sampled_from(
    ["sqlite://", "sqlite:///", "sqlite", "://", "nosuch://", "", "postgresql://u:sesame@[", "http://"]
)


@few
@given(scheme=schemes, rest=text)
def test_any_storage_url(scheme: str, rest: str) -> None:
    if not rest.startswith("/"):  # only here
        works_or_is_one_line(lambda: check_storage(scheme + rest))
    assert "sesame" not in redact(f"postgresql://u:sesame@{rest}")


OPTIONS = sorted({(verb, option) for verb, made_ in VERBS.items() for p in made_.params for option in p.opts})


@few
@given(which=st.sampled_from(OPTIONS), value=st.text(max_size=20).filter(lambda value: "\0" not in value))
def test_any_value_of_any_option(cli: Cli, which: tuple[str, str], value: str) -> None:
    verb, option = which
    if option in ("--help", "--port", "--out", "--onnx") or verb not in WORDS or not option.startswith("--"):
        return
    result = cli(verb, *WORDS[verb], f"{option}={value}", "--nonsense")  # so that nothing starts
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert line.startswith("search: ")
