"""Small and fast on Caltech-101: which network fits a phone, and what each millisecond gives.

search run spaces/mobile_caltech.py
Needs the extras `lite` and `timm`. EfficientNet-Lite0 begins with its ImageNet weights, at several sides and with
several cuts between what is frozen and what trains. MobileNetV3 is trained from scratch in three widths. The search
follows the front of validation accuracy and latency, and trains no model of more than 20 MB.
"""

from search import ASHA, Choice, Float, SearchSpace

stem = ("features._conv_stem", "features._bn0")
blocks = [f"features._blocks.{number}" for number in range(16)]

space = SearchSpace(
    network=Choice(
        lite0=dict(
            model="efficientnet_lite0",
            weights="DEFAULT",
            image_side=Choice(128, 160, 192, 224),
            frozen=Choice(head=("features",), four_blocks=(*stem, *blocks[:12])),  # what trains
            lr=Float(1e-3, 0.3, log=True),
        ),
        mobilenet=dict(
            model=Choice(
                half="timm/mobilenetv3_small_050",
                three_quarters="timm/mobilenetv3_small_075",
                whole="timm/mobilenetv3_small_100",
            ),
            image_side=Choice(96, 128, 160),
            lr=Float(1e-2, 1.0, log=True),
        ),
    ),
    dataset="caltech101",
    epochs=12,
    batch_size=64,
    schedule="cosine",
    warmup_epochs=1.0,
    augment=Choice("none", "flip"),
    label_smoothing=Choice(0.0, 0.1),
    weight_decay=Float(1e-6, 1e-3, log=True),
)
objectives = ("val_acc", "latency_ms")
limits = dict(mb=20)
trials = 64
pruner = ASHA(min_resource=2, reduction_factor=3)
