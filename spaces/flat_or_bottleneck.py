"""Whether a bottleneck helps without convolutions, on CIFAR-10: the best known flat network and the best with one.

search run spaces/flat_or_bottleneck.py
search confirm flat_or_bottleneck --top 2 --seeds 3
The best with a bottleneck is that of reports/mlp_cifar10.md; the flat one has been tuned by hand.
Expected: on the test split the flat one has 0.6035 and the other 0.5955, means of three seeds; they differ by 0.0080,
95% interval 0.0019 to 0.0141 (reports/flat_or_bottleneck.md).
Cost: a trial took 16 min on one core of an Intel Xeon beside another training, in fp32 (2026-11-29).
"""

from optuna.pruners import NopPruner

from search import Choice, SearchSpace

space = SearchSpace(
    model="mlp",
    dataset="cifar10",
    arm=Choice(
        flat=dict(hidden=(1024, 1024), lr=0.02, momentum=0.9, weight_decay=5e-4, dropout=0.25),
        bottleneck=dict(
            hidden=(1024, 128, 1024),
            lr=0.009394067756156659,
            momentum=0.8165194169836525,
            weight_decay=1.4651215686100393e-05,
            dropout=0.1,
        ),
    ),
    epochs=40,
    batch_size=128,
    schedule="cosine",
    augment="flip",
)
trials = 2
pruner = NopPruner()  # both are to end
