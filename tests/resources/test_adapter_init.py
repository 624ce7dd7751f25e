"""What `adapter-init` writes is loaded by PEFT, computes what the base computes, and can be trained."""

from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import torch
import transformers as hf
from click.testing import CliRunner

from command_line.cli import cli
from resources.adapter_init import write_adapter_start
from resources.auditing import audit_copies
from resources.checkpoints import CheckpointError, WriteError, open_checkpoint
from resources.factors import FactorStore
from rotoscale.adapter_start import STARTS

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS = torch.randint(0, 96, (2, 24), generator=torch.Generator().manual_seed(0))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=TOKENS).logits


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, checkpoints: Path) -> Path:
    """The tiny base in bfloat16, in shards."""
    folder = tmp_path_factory.mktemp("half") / "base"
    model = hf.AutoModelForCausalLM.from_pretrained(checkpoints / "base", dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="30KB")
    return folder


@pytest.mark.parametrize("band", STARTS)
def test_residual_and_adapter_compute_what_the_base_does(half: Path, tmp_path: Path, band: str) -> None:
    base = open_checkpoint(half)
    written = write_adapter_start(base, tmp_path / "out", FactorStore(tmp_path / "factors"), band=band, rank=4, seed=1)
    assert written.matrices == 21
    whole = logits(hf.AutoModelForCausalLM.from_pretrained(half, dtype=torch.float32))
    residual = hf.AutoModelForCausalLM.from_pretrained(written.base)
    assert residual.dtype == torch.float32
    alone = logits(residual)
    adapted = peft.PeftModel.from_pretrained(residual, written.adapter, is_trainable=True)
    torch.testing.assert_close(logits(adapted), whole, rtol=1e-4, atol=1e-4)
    assert (alone - whole).abs().max() > 100 * (logits(adapted) - whole).abs().max()  # the adapter carries its part
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 21
    adapted(input_ids=TOKENS, labels=TOKENS).loss.backward()
    gradients = [weight.grad.abs().max() for weight in adapted.parameters() if weight.requires_grad]
    assert min(gradients) > 0  # both factors learn from the first step, unlike a LoRA that starts at zero
    # Our own reader agrees: the adapter on the residual base is the base.
    ours = open_checkpoint(written.adapter, base=written.base)
    for key in base.matrices():
        torch.testing.assert_close(ours.read(key), base.read(key), rtol=0, atol=1e-6)
    assert 0 < written.energy < 1


def test_everything_outside_the_chosen_matrices_is_the_base(half: Path, tmp_path: Path) -> None:
    base = open_checkpoint(half)
    written = write_adapter_start(
        base, tmp_path / "out", FactorStore(tmp_path / "factors"), band="middle", rank=2, matrices=["q", "down"]
    )
    rows = list(audit_copies(base, open_checkpoint(written.base)))
    changed = {row.tensor for row in rows if not row.is_right}
    assert len(changed) == written.matrices == 6
    assert all("q_proj" in name or "down_proj" in name for name in changed)
    facts = json.loads((tmp_path / "out" / "edit.json").read_text())["manifest"]
    assert (facts["band"], facts["rank"], facts["matrices"]) == ("middle", 2, 6)


def test_transposed_weights_and_names_that_differ_in_memory(tmp_path: Path) -> None:
    """GPT-2 stores its matrices transposed and q, k and v as one: the adapter stands on the module as PEFT sees it."""
    torch.manual_seed(0)
    model = hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    model.save_pretrained(tmp_path / "gpt2")
    written = write_adapter_start(
        open_checkpoint(tmp_path / "gpt2"), tmp_path / "out", FactorStore(tmp_path / "factors"), band="top", rank=3
    )
    adapted = peft.PeftModel.from_pretrained(hf.AutoModelForCausalLM.from_pretrained(written.base), written.adapter)
    torch.testing.assert_close(logits(adapted), logits(model), rtol=1e-4, atol=1e-5)


def test_mistakes_are_one_sentence(half: Path, tmp_path: Path) -> None:
    base, factors = open_checkpoint(half), FactorStore(tmp_path / "factors")
    with pytest.raises(CheckpointError, match="no matrix type x; this llama has q, k"):
        write_adapter_start(base, tmp_path / "out", factors, band="top", rank=2, matrices=["x"])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(WriteError, match="not empty"):
        write_adapter_start(base, tmp_path / "taken", factors, band="top", rank=2)
    with pytest.raises(Exception, match="rank 17 is wider"):
        write_adapter_start(base, tmp_path / "out", factors, band="top", rank=17)
    assert not (tmp_path / "out").exists()
    written = write_adapter_start(base, tmp_path / "out", factors, band="top", rank=2)
    with pytest.raises(CheckpointError, match="an adapter"):
        write_adapter_start(
            open_checkpoint(written.adapter, base=written.base), tmp_path / "x", factors, band="top", rank=2
        )


def test_the_command(half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTOSCALE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROTOSCALE_FAMILIES", str(tmp_path / "none"))
    arguments = ["adapter-init", str(half), "--band", "bottom", "--rank", "2", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "21 matrices" in result.stdout
    assert (tmp_path / "out" / "adapter" / "adapter_config.json").exists()
