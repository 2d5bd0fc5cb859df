"""Private names of Ray and Optuna stand in one module each, and no module patches others with unittest.mock."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SEARCH = Path(__file__).resolve().parents[2] / "search"
RAY = "engine/ray/patches.py"
OPTUNA = {"study/storage/internals.py", "study/storage/rdb.py"}
"""The second subclasses Optuna's storage, whose methods it replaces."""
