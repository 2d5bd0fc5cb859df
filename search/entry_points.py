"""Names that stand in strings: what another process imports or calls by name, so that this one need not import it.

A function is written as module:function. tests/test_entry_points.py resolves every name here. The registries stand
here whose names are checked where neither torch nor Ray is imported.
"""

CHECK_SPACE = "search.doctor.preflight:ready"
CHECK_CONFIGS = "search.doctor.preflight:ready_to_confirm"
CHECK_RUN_DIR_FIRST = "search.files.locations:checked_before"
CHOOSE_GPU_SHARE = "search.doctor.gpu_share:choose"
EVALUATE_TEST = "search.train.evaluate:evaluate_kept"
TRAIN = "search.engine.worker:serve"
ANSWER_CALL = "search.engine.processes.forkserver:_answer"

SCHEDULES = {
    "step": "search.train.schedules:step",
    "cosine": "search.train.schedules:cosine",
    "one_cycle": "search.train.schedules:one_cycle",
    "slanted_triangular": "search.train.schedules:slanted_triangular",
    "constant": "search.train.schedules:constant",
}
"""Of the learning rate: schedule(optimizer, config, steps of the warm-up, steps of the whole training)."""
METRICS = {
    "val_loss": "search.train.evaluate:val_loss",
    "val_acc": "search.train.evaluate:val_acc",
    "val_balanced_acc": "search.train.evaluate:val_balanced_acc",
    "val_f1": "search.train.evaluate:val_f1",
    "val_top5_acc": "search.train.evaluate:val_top5_acc",
    "val_auroc": "search.train.evaluate:val_auroc",
    "val_ece": "search.train.evaluate:val_ece",
}
"""Of an epoch: metric(evaluation of the validation split), a float."""
ENGINES = {
    "auto": "search.engine.processes.here:at_once",
    "tune": "search.engine.launch:with_ray",
    "inline": "search.engine.inline:in_this_process",
}
"""Where trials run: engine(setup), a context manager that yields an Engine and what the setup's check returned."""

COST_PROGRAM = "search.doctor.cost"
FORK_SERVER_PROGRAM = "search.engine.processes.forkserver"

RAY_PRELOAD = "search.engine.ray.trainable"
"""Ray's workers import it before they are asked for."""
PRELOAD = ("search.doctor.preflight", "search.train.trainer")
"""What the fork server imports first."""
PRELOAD_TORCHVISION = "torchvision.models"
PRELOAD_RANKS = "torch._dynamo"
"""What DistributedDataParallel imports at its first use: nearly two seconds in each process of each trial."""
PRELOAD_OWN = "search.engine.worker"
"""What a train() of the space file is called with."""
