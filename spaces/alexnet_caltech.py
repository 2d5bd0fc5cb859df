"""AlexNet on Caltech-101: SGD with step decay; from scratch or transferred, and how much of it to freeze.

search run spaces/alexnet_caltech.py
Expected: hand-tuned rows of 30 to 40 epochs reach 0.293 validation accuracy from scratch; transferred, 0.853, with only
the fully connected layers training 0.849, with only the convolutions 0.553 (baselines/caltech101.csv).
Cost: 6 trials of 2 epochs from scratch took 8 min 18 s on two cores of an AMD EPYC, images decoded first (2026-11-21).
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="alexnet",
    dataset="caltech101",
    weights=Choice(
        scratch=None,
        imagenet=dict(
            weights="DEFAULT",
            frozen=Choice(none=(), features=("features",), classifier=("classifier",)),
        ),
    ),
    epochs=30,
    batch_size=256,
    lr=Float(1e-4, 1e-1, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(5, 25, step=5),  # epochs between two decays
    gamma=Choice(0.01, 0.1, 0.5),  # factor of the learning rate at each decay
)
trials = 64
pruner = ASHA(min_resource=12, reduction_factor=2)  # from scratch, nothing is learnt before epoch 6 to 10
baselines = "baselines/caltech101.csv"  # hand-tuned rows, run first and ranked beside the search
