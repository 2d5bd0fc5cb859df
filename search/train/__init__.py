"""Train one config: ``for epoch in train(config): print(epoch)``."""

from search.train.evaluate import evaluate_test
from search.train.trainer import train

__all__ = ["evaluate_test", "train"]
