"""The demo's model: multinomial logistic regression on pixels, with torch where it is installed, else with numpy.

It is there to have something trained through a lease, not to be good at it.
"""

import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPOCHS = 30
_RATE = 0.5
_DECAY = 1e-3

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """`artifact` is a numpy archive of weights (pixels + 1, classes) and class names."""

    engine: str
    artifact: bytes
    weights: NDArray[np.float32]
    classes: tuple[str, ...]
    loss: float

    def accuracy(self, batches: Iterator[Batch]) -> float:
        """Return the share of samples that are classified right; nan when there are none."""
        right = count = 0
        for x, y in batches:
            right += int(np.sum(np.argmax(x @ self.weights, axis=1) == y))
            count += len(y)
        return right / count if count else float("nan")


def design(images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return (B, rows * columns + 1) features in 0..1 from uint8 images (B, rows, columns); the last is constant 1."""
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    return np.hstack([flat, np.ones((len(flat), 1), np.float32)])


def train(batches: Callable[[int], Iterator[Batch]], features: int, classes: Sequence[str]) -> Trained:
    """Fit by gradient descent over the batches of each epoch. Deterministic for a given engine."""
    fit = _fit_torch if importlib.util.find_spec("torch") else _fit_numpy
    weights, loss = fit(batches, features, len(classes))
    archive = io.BytesIO()
    np.savez(archive, weights=weights, classes=np.array(classes))
    return Trained(
        engine="torch" if fit is _fit_torch else "numpy",
        artifact=archive.getvalue(),
        weights=weights,
        classes=tuple(classes),
        loss=loss,
    )


def _fit_numpy(
    batches: Callable[[int], Iterator[Batch]], features: int, classes: int
) -> tuple[NDArray[np.float32], float]:
    weights = np.zeros((features, classes), np.float32)
    loss = 0.0
    for epoch in range(EPOCHS):
        for x, y in batches(epoch):
            scores = x @ weights
            scores -= scores.max(axis=1, keepdims=True)
            chances = np.exp(scores)
            chances /= chances.sum(axis=1, keepdims=True)
            loss = float(-np.log(chances[np.arange(len(y)), y] + 1e-9).mean())
            chances[np.arange(len(y)), y] -= 1
            weights -= _RATE / features**0.5 * (x.T @ chances / len(y) + _DECAY * weights)
    return weights, loss


def _fit_torch(
    batches: Callable[[int], Iterator[Batch]], features: int, classes: int
) -> tuple[NDArray[np.float32], float]:
    import torch

    model = torch.nn.Linear(features, classes, bias=False)
    torch.nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE / features**0.5, weight_decay=_DECAY)
    loss = torch.zeros(())
    for epoch in range(EPOCHS):
        for x, y in batches(epoch):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y))
            loss.backward()
            optimizer.step()
    return model.weight.detach().numpy().T.astype(np.float32).copy(), float(loss)
