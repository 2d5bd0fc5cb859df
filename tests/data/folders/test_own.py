"""A data set of one's own code: what a function may return, and what is said where it returns something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pictures import lay_out

from search.data import cache
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


def test_a_function_may_take_nothing(write: Write) -> None:
    code = "from PIL import Image\ndef pets():\n    return [(Image.new('L', (9, 9), i), i % 2) for i in range(10)]\n"
    assert seen(write("mine.py", code)) == (["0", "1"], [6, 2, 2])


BAD = {
    "1 / 0": "ZeroDivisionError: division by zero",
    "7": "returned a int; it returns pairs",
    "[1, 2]": "returned 1 among the pairs; it returns pairs",
    "[]": "0 pictures of 0 classes",
    "[('a.png', 'cat')] * 9": "9 pictures of 1 classes",
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
