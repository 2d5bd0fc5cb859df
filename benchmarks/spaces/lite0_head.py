"""A head on EfficientNet-Lite0's frozen features, Caltech-101: the input and the batch size of the peer."""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    frozen=("features",),
    epochs=30,
    batch_size=64,
    lr=Float(1e-4, 1e-1, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(5, 25, step=5),
    gamma=Choice(0.01, 0.1, 0.5),
)
trials = 64
pruner = ASHA(min_resource=1, reduction_factor=2)  # as the peer's
