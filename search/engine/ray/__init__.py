"""Trials through Ray Tune. This package sets Ray's environment before it imports Ray."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from search.entry_points import RAY_PRELOAD

# Ray reads these when it is imported, or its processes read them.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # weights="some/file.pth" means the same in a worker
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with it, Ray listens on loopback only
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # search handles Ctrl-C: it puts trials back in the queue
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the storage is the record; Tune is never asked to restore
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "1",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "RAY_preload_python_modules": RAY_PRELOAD,
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",  # our own watch is quicker, and says how to go on
    "RAY_idle_worker_killing_time_threshold_ms": "60000",  # the workers it starts with are those that Tune will want
}
os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)  # it asks each notebook to install ipywidgets


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without the garbage collector, which takes a sixth of Ray's import, and without warnings."""
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        gc.enable()


with quick_imports():
    import ray as _ray  # noqa: F401 - the first import, for every module of this folder
