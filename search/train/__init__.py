"""Train one config: ``for epoch in train(config): print(epoch)``."""

from search.train.trainer import evaluate_test, train

__all__ = ["evaluate_test", "train"]
