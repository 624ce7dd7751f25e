"""Tiny random models of every supported architecture, and a tokenizer whose words are single tokens."""

from __future__ import annotations

from typing import Any

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "tie_word_embeddings": False,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 12},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "sliding_window": 12, "query_pre_attn_scalar": 16, "final_logit_softcapping": 5.0},
    "gemma3_text": {"head_dim": 16, "sliding_window": 12, "query_pre_attn_scalar": 16},
    "olmo": {"clip_qkv": 1.0},
    "olmo2": {},
    "olmo3": {"sliding_window": 12},
    "gpt2": {},
    "gpt_neox": {"use_parallel_residual": True},
    "gpt_neox_sequential": {"use_parallel_residual": False},
}


def tokenizer() -> Any:
    """One token for each word, letter and sign of the task."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from rotoscale.circuits.task import LETTERS, OBJECTS

    fixed = ["<pad>", "<bos>", "<unk>", ",", ".", "The", "the", "Box", "is", "in", "contains", "it"]
    words = [*fixed, *LETTERS, *OBJECTS[:40]]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", unk_token="<unk>")


def model(kind: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of one architecture, its weights large enough for heads to matter."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {**COMMON, **ARCHITECTURES[kind], "vocab_size": len(tokenizer()), **changes}
    if kind == "gpt2":
        settings = {
            "n_embd": settings["hidden_size"],
            "n_layer": settings["num_hidden_layers"],
            "n_head": settings["num_attention_heads"],
            "n_positions": settings["max_position_embeddings"],
            "vocab_size": settings["vocab_size"],
            "initializer_range": 0.2,
        }
    config = AutoConfig.for_model(kind.removesuffix("_sequential"), **settings)
    made = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.dim() == 1 and "norm" not in name and "ln_" not in name:
                weight.normal_(std=0.1)  # biases start at zero, where a bias that is dropped would not be seen
    return made.eval()
