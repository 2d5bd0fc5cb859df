"""CIFAR-10 without convolutions: fully connected layers, with and without a bottleneck, dropout after the ReLU.

search run spaces/mlp_cifar10.py
What is to be learnt is whether a narrow layer between wide ones helps (it does not: reports/flat_or_bottleneck.md);
convolutional networks do far better here.
Expected: 0.603 validation and 0.602 test accuracy, with one bottleneck, flips and a dropout of 0.1
(reports/mlp_cifar10.md).
Cost: 24 trials took 33 min 33 s on two cores of an AMD EPYC beside another search, 40 min of CPU time, in bf16
(2026-11-29).
"""

from search import ASHA, Choice, Float, SearchSpace

space = SearchSpace(
    model="mlp",
    dataset="cifar10",
    hidden=Choice(
        wide=(1024, 1024),
        bottleneck=(1024, 128, 1024),
        two_bottlenecks=(1024, 128, 1024, 128, 1024),
    ),
    epochs=40,
    batch_size=128,
    schedule="cosine",
    lr=Float(3e-3, 1e-1, log=True),
    momentum=Float(0.80, 0.95),
    weight_decay=Float(1e-6, 1e-3, log=True),
    dropout=Choice(0.0, 0.1, 0.25, 0.4),
    augment=Choice("none", "flip"),
)
trials = 32
pruner = ASHA(min_resource=10, reduction_factor=2)  # what regularises is behind at first, and ahead in the end
