"""Names that stand in strings: what another process imports or calls by name, so that this one need not import it.

A function is written as module:function. tests/test_entry_points.py resolves every name here.
"""

CHECK_SPACE = "search.doctor.preflight:ready"
CHECK_CONFIGS = "search.doctor.preflight:ready_to_confirm"
CHECK_RUN_DIR_FIRST = "search.files.locations:checked_before"
CHOOSE_GPU_SHARE = "search.doctor.gpu_share:choose"
EVALUATE_TEST = "search.train.evaluate:evaluate_kept"
TRAIN = "search.engine.worker:serve"
ANSWER_CALL = "search.engine.processes.forkserver:_answer"

COST_PROGRAM = "search.doctor.cost"
FORK_SERVER_PROGRAM = "search.engine.processes.forkserver"

RAY_PRELOAD = "search.engine.ray.tune"
"""Ray's workers import it before they are asked for."""
PRELOAD = ("search.doctor.preflight", "search.train.trainer", "torch._dynamo")
"""What the fork server imports first; the last is imported by every first optimizer step."""
PRELOAD_TORCHVISION = "torchvision.models"
