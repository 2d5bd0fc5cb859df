"""A data set of one's own code: what a function may return, and what is said where it returns something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import lay_out

from search.data import cache
from search.data.folders.own import OwnData
from search.data.registry import open_source
from search.errors import SearchError

Write = Callable[[str, str], Path]


def seen(path: Path) -> tuple[list[str], list[int]]:
    classes, splits = open_source(f"{path}:pets", path.parent).splits()
    return classes, [len(items) for items in splits.values()]


FORMS = {
    "paths": ("[(f'images/{i}.png', 'cat' if i % 2 else 'dog') for i in range(10)]", [6, 2, 2]),
    "pictures": ("((Image.new('RGB', (9, 9), (i, 50, 99)), i % 2) for i in range(10))", [6, 2, 2]),
    "arrays": ("[(np.full((9, 9, 3), i, np.uint8), i % 2) for i in range(10)]", [6, 2, 2]),
    "grey arrays": ("[(np.full((9, 9), i, np.uint8), i % 2) for i in range(10)]", [6, 2, 2]),
    "functions": ("[(lambda i=i: root / f'images/{i}.png', i % 2) for i in range(10)]", [6, 2, 2]),
    "triples": ("[(f'images/{i}.png', i % 2, ['Train', 'val', 'eval'][i // 4]) for i in range(10)]", [4, 4, 2]),
    "a dict": ("{'train': [(f'images/{i}.png', i % 2) for i in range(8)], 'val': [('images/8.png', 1)]}", [8, 1, 0]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_function_says_the_pictures(tmp_path: Path, write: Write, form: str) -> None:
    returned, counts = FORMS[form]
    lay_out(tmp_path, {"images": 10})
    head = "import numpy as np\nfrom PIL import Image\n"
    path = write("mine.py", f"{head}def pets(root):\n    return {returned}\n")
    classes, found = seen(path)
    assert classes == (["cat", "dog"] if form == "paths" else ["0", "1"])
    assert found == counts
    (train,) = cache.load(open_source(f"{path}:pets", tmp_path), 8, ("train",))
    assert train.pixels.shape == (counts[0], 8, 8, 3)
    before = open_source(f"{path}:pets", tmp_path).fingerprint()
    assert open_source(f"{path}:pets", tmp_path).fingerprint() == before
    path.write_text(path.read_text().replace("i % 2", "i % 3 % 2"))
    assert open_source(f"{path}:pets", tmp_path).fingerprint() != before


def test_small_pictures_stay_as_small_as_they_are(write: Write) -> None:
    code = "from PIL import Image\ndef pets():\n    return [(Image.new('L', (40, 32), i), i % 2) for i in range(10)]\n"
    source = open_source(f"{write('mine.py', code)}:pets", Path())
    (train,) = cache.load(source, None, ("train",))
    assert train.pixels.shape == (6, 32, 32, 3)


def test_pictures_that_are_returned_twice_are_left_out(tmp_path: Path, write: Write) -> None:
    """Each of them could be in training and in validation."""
    lay_out(tmp_path, {"images": 10})
    path = write("mine.py", "def pets(root):\n    return [(f'images/{i % 10}.png', i % 2) for i in range(14)]\n")
    source = OwnData(f"{path}:pets", tmp_path)
    assert [len(items) for items in source.splits()[1].values()] == [6, 2, 2]
    assert source.said().left_out == {"pictures that are returned twice": 4}


def test_labels_may_be_numbers_of_any_library(write: Write) -> None:
    head = "import numpy as np\nimport torch\nfrom PIL import Image\n"
    for label in ("np.int64(i % 2)", "torch.tensor(i % 2)", "np.array(i % 2)"):
        code = f"{head}def pets():\n    return [(Image.new('L', (9, 9), i), {label}) for i in range(10)]\n"
        assert seen(write("mine.py", code))[0] == ["0", "1"]


def test_a_function_may_take_nothing(write: Write) -> None:
    code = "from PIL import Image\ndef pets():\n    return [(Image.new('L', (9, 9), i), i % 2) for i in range(10)]\n"
    assert seen(write("mine.py", code)) == (["0", "1"], [6, 2, 2])


BAD = {
    "[('a.png', 1), ('a.png', 2)]": "a.png is 1 and 2; a picture has one class",
    "[('a.png', None), ('b.png', 1)]": "the label None of a.png names no class; give it a text or a number",
    "[('a.png', float('nan')), ('b.png', 1)]": "the label nan of a.png names no class",
    "[('a.png', ' '), ('b.png', 1)]": "the label ' ' of a.png names no class",
    "[('a.png', [1]), ('b.png', 1)]": "the label [1] of a.png names no class",
    "exit(3)": "SystemExit: 3",
    "1 / 0": "ZeroDivisionError: division by zero",
    "7": "returned a int; it returns pairs",
    "[1, 2]": "returned 1 among the pairs; it returns pairs",
    "[]": "0 pictures of no class, where two are needed",
    "[(f'{i}.png', 'cat') for i in range(9)]": "9 pictures of 1 class, where two are needed",
    "{'holdout': [('a.png', 0)]}": "returned the split 'holdout'; it is train, val or test",
    "[('a.png', 'cat', 'val'), ('b.png', 'dog', 'val')]": "no picture is in the split train",
    "[('a.png', 'cat', 'train'), ('b.png', 'dog')]": "some pictures have a split and some have none",
    "{'train': [('a.png', 0), ('b.png', 1)], 'val': [('c.png', 2)]}": "val has classes that train has not: 2",
}


@pytest.mark.parametrize("returned", BAD)
def test_what_a_function_may_not_return_is_said(write: Write, returned: str) -> None:
    path = write("mine.py", f"def pets(root):\n    return {returned}\n")
    with pytest.raises(SearchError) as error:
        open_source(f"{path}:pets", path.parent).splits()
    assert f"{path}:pets" in str(error.value)
    assert BAD[returned] in str(error.value)


def test_a_function_that_is_not_there(tmp_path: Path, write: Write) -> None:
    path = write("mine.py", "def pets(root):\n    return []\n")
    for name, said in (
        (f"{path}:pet", "no function 'pet'; did you mean 'pets'"),
        (f"{tmp_path}/none.py:pets", "none.py; write it as path/to/file.py:function"),
        (f"imagefolder:{path}:pets", "a function is named without imagefolder: before it"),
    ):
        with pytest.raises(SearchError, match=said):
            open_source(name, tmp_path).splits()
