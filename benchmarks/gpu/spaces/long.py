"""One trial of many short epochs, to be killed on its way."""

from search import SearchSpace

space = SearchSpace(
    model="cnn",
    dataset="digits",
    epochs=60,
    batch_size=32,
    lr=0.05,
    momentum=0.9,
    step_size=20,
    gamma=0.5,
    precision="fp32",
)
trials = 1
