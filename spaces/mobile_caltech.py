"""Small and fast on Caltech-101: which network fits a phone, and what each megabyte and each millisecond gives.

search run spaces/mobile_caltech.py
Needs the extras `lite` and `timm`. EfficientNet-Lite0 begins with its ImageNet weights, whole or cut after some of its
blocks, at several sides; its head trains alone, or with the last blocks. MobileNetV3 is trained from scratch in three
widths. The search follows the front of validation accuracy, size and latency.
Expected: with 1,010 training images and 6 epochs, five points from 0.506 validation accuracy at 1.4 MB and 2.6 ms to
0.876 at 14.2 MB and 8.5 ms; no MobileNetV3 among them (reports/mobile_caltech.md).
Cost: those 30 trials took 26 min on two cores of an AMD EPYC that other work kept busy (2026-11-28).
"""

from search import Choice, Float, SearchSpace


def lite(model, blocks):
    """EfficientNet-Lite0 with its first `blocks`."""
    lower = ("_conv_stem", "_bn0", *(f"_blocks.{number}" for number in range(blocks - 2)))
    return dict(
        model=model,
        weights="DEFAULT",
        image_side=Choice(96, 128, 160, 224),
        frozen=Choice(head=("features",), last_blocks=tuple(f"features.{name}" for name in lower)),  # what trains
        lr=Float(3e-3, 0.3, log=True),
    )


space = SearchSpace(
    network=Choice(
        lite0=lite("efficientnet_lite0", 16),
        first15=lite("efficientnet_lite0_first15", 15),
        first11=lite("efficientnet_lite0_first11", 11),
        first8=lite("efficientnet_lite0_first8", 8),
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
objectives = ("val_acc", "mb", "latency_ms")
limits = dict(mb=20, latency_ms=30)
trials = 48
