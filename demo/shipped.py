"""The checkpoints that ship with the project: where they lie, loading them, and how far they are from their base."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from demo.stages import PROJECTIONS

CHECKPOINTS = Path(__file__).parent / "checkpoints"


def load(folder: Path) -> Any:
    """Load a checkpoint of the family; an adapter comes back on its base."""
    if not (folder / "adapter_config.json").exists():
        return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    from peft import PeftModel

    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    return PeftModel.from_pretrained(load((folder / base).resolve()), str(folder))


def relative_change(folder: Path, base: Path) -> float:
    """Return the Frobenius norm of the change of all projections over that of the base, both as written."""
    model = load(folder)
    post = (model.merge_and_unload() if hasattr(model, "merge_and_unload") else model).state_dict()
    pre = load(base).state_dict()
    principal = [key for key in pre if any(name in key for name in PROJECTIONS)]
    change = sum(float((post[key] - pre[key]).double().square().sum()) for key in principal)
    return math.sqrt(change / sum(float(pre[key].double().square().sum()) for key in principal))
