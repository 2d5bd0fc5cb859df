"""Private names of Ray and Optuna stand in two modules, and none is patched with unittest.mock."""

from __future__ import annotations

import ast
from pathlib import Path

from house.source import parsed

SEARCH = Path(__file__).resolve().parents[2] / "search"
HOMES = {"engine/ray/patches.py", "study/storage/internals.py"}
OTHERS = {
    "commands/steps/confirm.py": {"_plain"},  # of Progress, a class of this package
    "engine/processes/ending.py": {"_exit", "_run_exitfuncs", "_shutdown"},  # as multiprocessing ends its processes
    "data/augment.py": {  # of torchvision: what its policies draw and do, which a test compares with their own call
        "_AUGMENTATION_SPACE",
        "_apply_image_or_video_transform",
        "_fill",
        "_get_random_item",
    },
    "engine/ray/watchdog.py": {"_exit"},  # where Ray's compiled code hears no signal
    "data/cache.py": {"_replace"},
    "doctor/labels.py": {"_replace"},
    "models/efficientnet_lite.py": {"_avg_pooling", "_bn0", "_expand_conv"},  # layers of the package, under its names
    "models/images.py": {"_replace"},  # of a named tuple, and documented
    "models/base.py": {"_replace"},
    "doctor/case.py": {"_DropoutNd"},  # of torch, as the next three
    "train/dropout.py": {"_DropoutNd"},
    "train/freeze.py": {"_BatchNorm", "_DropoutNd"},
    "train/frozen/prefix.py": {"_DropoutNd"},
}
"""Private names that are neither Ray's nor Optuna's."""
REPLACED = {
    "study/replay.py": {"_suggest"},
    "study/sampler.py": {"_sample"},
    "study/storage/rdb.py": {"_get_trials"},
    "study/storage/writer.py": {"_create_new_trial", "_get_prepared_new_trial", "_set_trial_param"},
}
"""Methods of Optuna's that a subclass replaces, and calls."""

Found = dict[str, set[str]]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def look() -> tuple[Found, Found, Found]:
    """By module: foreign private names that it uses, those that it replaces, and its modules for patching."""
    used, replaced, mocks = Found(), Found(), Found()
    for path in SEARCH.rglob("*.py"):
        name, tree = path.relative_to(SEARCH).as_posix(), parsed(path)
        nodes = list(ast.walk(tree))
        own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
        own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in nodes:
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                if is_super(node.value):
                    replaced.setdefault(name, set()).add(node.attr)
                elif node.attr not in own:
                    used.setdefault(name, set()).add(node.attr)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                start = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                parts = {part for alias in node.names for part in f"{start}.{alias.name}".split(".")}
                if "mock" in parts:
                    mocks.setdefault(name, set()).add("mock")
                if not start.startswith("search") and any(map(is_private, parts)):
                    used.setdefault(name, set()).update(filter(is_private, parts))
    return used, replaced, mocks


def test_private_names_stand_in_two_modules() -> None:
    used, replaced, mocks = look()
    assert used.keys() >= HOMES
    assert {name: found for name, found in used.items() if name not in HOMES} == OTHERS
    assert replaced == REPLACED
    assert mocks == {}
