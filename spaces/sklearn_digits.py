"""Bring your own: any generator that yields dicts is searchable. Here, scikit-learn's SGDClassifier on the digits."""

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from search import Choice, Float, SearchSpace

space = SearchSpace(loss=Choice("hinge", "log_loss"), alpha=Float(1e-6, 1e-1, log=True), epochs=10)
metric, trials = "accuracy", 20


def train(config):
    x, x_val, y, y_val = train_test_split(*load_digits(return_X_y=True), random_state=0)
    model = SGDClassifier(loss=config["loss"], alpha=config["alpha"], random_state=0)
    for _ in range(config["epochs"]):
        model.partial_fit(x, y, classes=range(10))
        yield {"accuracy": model.score(x_val, y_val)}
