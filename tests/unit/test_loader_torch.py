"""Batches as tensors; needs torch, which is an extra."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `torch`)")


def test_a_tensor_shares_the_memory_of_its_batch() -> None:
    import numpy as np

    from filmroom.loader.data import Batch
    from filmroom.loader.torch import tensors

    batch = Batch(
        np.arange(8, dtype=np.int16).reshape(2, 2, 2),
        {"age": np.array([1.0, np.nan]), "side": np.array(["L", ""])},
        np.array(["a", "b"]),
    )
    made = tensors(batch)
    batch.image[0, 0, 0] = 99
    assert made.image[0, 0, 0] == 99
    assert made.labels["side"] == ["L", ""]
    assert made.keys == ["a", "b"]
