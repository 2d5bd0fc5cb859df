"""ViT-B/16 on Caltech-101: AdamW with warm-up, cosine decay and gradient clipping; from scratch or transferred.

search run spaces/vit_caltech.py
Expected: no result of it is at hand yet. No search of it has been run, for the ImageNet weights need a network. What
has been run is the way of weights in a file, weights="vit.pth", from a state dict to the same number again
(tests/docs/test_spaces.py).
Cost: on one core of an AMD EPYC, in bf16, a training image takes 0.69 s of CPU time and a validation image 0.20 s
(2026-11-21, 48 and 64 images), so an epoch of the 2,892 and 2,892 images about 43 min, and 20 epochs 14 hours.
"""

from search import ASHA, Choice, Float, SearchSpace

space = SearchSpace(
    model="vit_b_16",
    dataset="caltech101",
    weights=Choice(scratch=None, imagenet="DEFAULT"),
    epochs=20,
    batch_size=64,
    optimizer="adamw",
    lr=Float(1e-5, 1e-3, log=True),
    weight_decay=Float(1e-3, 0.3, log=True),
    decay_norms_and_biases=False,
    schedule="cosine",
    warmup_epochs=Float(0.5, 4.0),  # of linear rise, before the cosine falls
    grad_clip=Choice(none=None, one=1.0),  # 1 is what Dosovitskiy et al. (2021, arXiv 2010.11929, table 3) clip at
    augment=Choice("none", "crop_flip"),
)
trials = 32
pruner = ASHA(min_resource=4, reduction_factor=3)  # the warm-up is over before the first is stopped
baselines = "baselines/caltech101.csv"  # hand-tuned rows, ranked beside the search
