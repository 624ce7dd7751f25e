"""Matrices of loaded models, replaced in place whatever the layout, and put back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from checkpoint_zoo import Example

from resources.checkpoints import open_checkpoint
from resources.evaluation.loaded_matrices import LoadedMatrices, NotInPlace


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "gpt_neox", "gpt_oss", "falcon_grouped"])
def test_every_layout_is_replaced_in_its_place_and_put_back(zoo: Callable[[str], Example], name: str) -> None:
    made = zoo(name)
    checkpoint = open_checkpoint(made.path)
    keys = checkpoint.matrices()
    places = LoadedMatrices(made.model, checkpoint, keys)
    before = {key: made.loaded(key).detach().clone() for key in keys}
    chosen = keys[::3]
    new = {key: torch.full(checkpoint.shape(key), 2.0) * (1 + i) for i, key in enumerate(chosen)}
    with torch.inference_mode(), places.replaced(new):
        for key in keys:
            expected = new[key].to(before[key].dtype) if key in new else before[key]
            assert torch.equal(made.loaded(key), expected), key
            assert torch.equal(places.read(key), expected), key
    assert all(torch.equal(made.loaded(key), before[key]) for key in keys)


def test_a_model_that_is_not_the_checkpoint_s_is_refused(zoo: Callable[[str], Example]) -> None:
    checkpoint = open_checkpoint(zoo("llama").path)
    with pytest.raises(NotInPlace, match="no parameter of the loaded model"):
        LoadedMatrices(zoo("gpt2").model, checkpoint, checkpoint.matrices())
    with pytest.raises(NotInPlace, match="otherwise in the loaded model"):
        LoadedMatrices(zoo("mistral").model, checkpoint, checkpoint.matrices())
