"""ResNet-50 on Caltech-101 in mixed precision: SGD with step decay; from scratch or transferred, and what to freeze.

search run spaces/resnet50_caltech.py
Expected: a hand-tuned row of 30 epochs, transferred, reaches 0.916 validation and 0.936 test accuracy
(baselines/caltech101.csv). No search of it has been run, for the ImageNet weights need a network. What has been run is
the way of weights in a file, weights="resnet50.pth", from a state dict to frozen layers and the same number again
(tests/docs/test_spaces.py).
Cost: on one core of an AMD EPYC, in bf16, a training image takes 0.160 s of CPU time and a validation image 0.055 s
(2026-11-21, 96 and 64 images), so an epoch of the 2,892 and 2,892 images about 10 min, and 30 epochs 5 hours.
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="resnet50",
    dataset="caltech101",
    weights=Choice(
        scratch=None,
        imagenet=dict(
            weights="DEFAULT",
            frozen=Choice(none=(), lower_half=("conv1", "bn1", "layer1", "layer2")),
        ),
    ),
    precision="auto",  # bf16 where the hardware multiplies it, else fp32; --set precision=fp16 on an older GPU
    epochs=30,
    batch_size=64,
    lr=Float(1e-3, 1e-1, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    step_size=Int(5, 25, step=5),  # epochs between two decays
    gamma=Choice(0.01, 0.1, 0.5),  # factor of the learning rate at each decay
)
trials = 32
pruner = ASHA(min_resource=2, reduction_factor=3)
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search; that of ResNet-50 runs first
