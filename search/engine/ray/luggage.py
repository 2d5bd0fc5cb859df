"""What travels to the nodes of a cluster: this package, and the folder of the space file."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import SearchError

MOST = 100 * 2**20
"""The largest size, in bytes, of the space file's folder, which is copied to every node."""
_STAYS = (".*", "__pycache__", "*.pyc", "studies.db*", "runs", "reports", "data", "node_modules", "venv")
"""The files of that folder that no node needs. Ray leaves the last out, too."""
_PATIENCE = 10.0
"""Seconds in which another node of the same machine unpacks a folder."""


@dataclass(frozen=True)
class Files:
    """How many files a folder holds, and their bytes together."""

    count: int
    size: int

    @classmethod
    def of(cls, folder: Path) -> Files:
        """The files below `folder`, without what Python keeps of them."""
        return cls._of(_sizes(folder))

    @classmethod
    def _of(cls, sizes: dict[Path, int]) -> Files:
        return cls(len(sizes), sum(sizes.values()))

    def copied(self, source: Path, target: Path) -> bool:
        """Whether `source` has all of them, and `target` has them, too; the training may have written more there."""
        sizes = _sizes(source)
        return self == self._of(sizes) and sizes.items() <= _sizes(target).items()


def _sizes(folder: Path) -> dict[Path, int]:
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder): path.stat().st_size for path in found}


def gathered(folder: Path, space: Path | None) -> dict[str, Any]:
    """A runtime_env with this package and the space file's folder, both copied into `folder`."""
    code, ours = folder / "code", Path(__file__).parents[2]
    shutil.copytree(ours, code / "package" / ours.name, ignore=shutil.ignore_patterns("__pycache__"))
    travels: dict[str, Any] = {"py_modules": [str(code / "package" / ours.name)]}
    if space is not None:
        travels["working_dir"] = str(_gather(space.resolve().parent, code / "space"))
    return travels


def _gather(source: Path, target: Path) -> Path:
    """Copy the files that a space file may need from its folder."""
    ignore = shutil.ignore_patterns(*_STAYS)
    left = MOST

    def copy(file: str, to: str) -> None:
        nonlocal left
        left -= Path(file).stat().st_size
        if left < 0:
            raise SearchError(
                f"{source}: more than {MOST >> 20} MB lie beside the space file, and all that travels to every node, "
                f"such as {file}: put the space file into a folder with what it imports and nothing else"
            )
        shutil.copyfile(file, to)

    def skip(folder: str, names: list[str]) -> set[str]:
        odd = {name for name in names if not (Path(folder) / name).is_file() and not (Path(folder) / name).is_dir()}
        return ignore(folder, names) | odd  # sockets, pipes, dangling links

    shutil.copytree(source, target, ignore=skip, copy_function=copy)
    return target


def unpacked_here() -> Path:
    """The folder in which Ray has unpacked the space file's folder: the working directory of its workers.

    When another Ray node starts on the machine in the same temporary folder, it deletes this folder and unpacks it
    again. A process that works in it is then in a folder that is gone.
    """
    return Path(str(Path("/proc/self/cwd").readlink()).removesuffix(" (deleted)"))


def copy_of(source: Path, target: Path, files: Files) -> None:
    """Copy the folder `source`, which may be unpacked anew just now, until the copy has the `files`.

    What else lies in `target` stays. Raises SearchError if that takes longer than ten seconds.
    """
    deadline, why = time.monotonic() + _PATIENCE, ""
    while True:
        try:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            if files.copied(source, target):
                return
            why = "is not whole"
        except (OSError, shutil.Error) as error:  # deleted meanwhile; or a full disk
            why = f"cannot be copied ({str(error).splitlines()[0][:200]})"
        if time.monotonic() > deadline:
            raise SearchError(f"the folder of the space file {why}: {source}")
        time.sleep(0.1)
