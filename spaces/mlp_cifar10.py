"""CIFAR-10 without convolutions: fully connected layers, with and without a bottleneck.

search run spaces/mlp_cifar10.py
What is to be learnt is whether a narrow layer between wide ones helps; convolutional networks do far better here.
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="mlp",
    dataset="cifar10",
    hidden=Choice(
        wide=(512, 512),
        bottleneck=(512, 64, 512),
        two_bottlenecks=(1024, 64, 512, 64, 512),
    ),
    epochs=30,
    batch_size=128,
    lr=Float(1e-3, 1e-1, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(5, 25, step=5),  # epochs between two decays
    gamma=Choice(0.1, 0.3, 0.5),  # factor of the learning rate at each decay
)
trials = 48
pruner = ASHA(min_resource=3, reduction_factor=3)
