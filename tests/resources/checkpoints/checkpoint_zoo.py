"""Tiny models of every layout, made by transformers itself, and where each keeps a matrix in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from resources.checkpoints import MatrixKey

H, INTER, HEADS, KV, HEAD_DIM, EXPERTS, WIDTH = 32, 48, 4, 2, 8, 4, 24

SIZES = {
    "hidden_size": H,
    "intermediate_size": INTER,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


@dataclass
class Example:
    """A model in memory, where it was saved, and the loaded weight of each principal matrix."""

    model: Any
    path: Path
    loaded: Callable[[MatrixKey], torch.Tensor]


PLACES = (
    "model.language_model.layers",
    "language_model.model.layers",
    "model.layers",
    "transformer.h",
    "gpt_neox.layers",
    "model.decoder.layers",
    "transformer.blocks",
)


def _layers(model: Any) -> Any:
    for path in PLACES:
        found = model
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise AssertionError(type(model))


def _separate(layer: Any, key: MatrixKey) -> torch.Tensor:
    holder = layer.self_attn if key.matrix in "qkvo" else layer.mlp
    return getattr(holder, f"{key.matrix}_proj").weight


def _stacked(layer: Any, key: MatrixKey) -> torch.Tensor:
    """transformers 5 holds experts stacked, gate and up in one parameter, output x input."""
    if key.matrix.startswith("shared_"):
        shared = getattr(layer.mlp, "shared_expert", None) or layer.mlp.shared_experts
        return getattr(shared, key.matrix.removeprefix("shared_") + "_proj").weight
    if key.expert < 0:
        return _separate(layer, key)
    experts = layer.mlp.experts
    if key.matrix == "down":
        return experts.down_proj[key.expert]
    return experts.gate_up_proj[key.expert].chunk(2, dim=0)[key.matrix == "up"]


def _phi3(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        kv = KV * HEAD_DIM
        return layer.self_attn.qkv_proj.weight.split([HEADS * HEAD_DIM, kv, kv])["qkv".index(key.matrix)]
    return _gate_up(layer, key)


def _gate_up(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in ("gate", "up"):
        return layer.mlp.gate_up_proj.weight.chunk(2, dim=0)[key.matrix == "up"]
    return _separate(layer, key)


def _gpt2(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        return layer.attn.c_attn.weight.split(H, dim=1)["qkv".index(key.matrix)].T
    return {"o": layer.attn.c_proj, "up": layer.mlp.c_fc, "down": layer.mlp.c_proj}[key.matrix].weight.T


def _neox(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        heads = layer.attention.query_key_value.weight.view(HEADS, 3 * HEAD_DIM, H).chunk(3, dim=1)
        return heads["qkv".index(key.matrix)].reshape(H, H)
    return {"o": layer.attention.dense, "up": layer.mlp.dense_h_to_4h, "down": layer.mlp.dense_4h_to_h}[
        key.matrix
    ].weight


def _phi(layer: Any, key: MatrixKey) -> torch.Tensor:
    names = {"o": layer.self_attn.dense, "up": layer.mlp.fc1, "down": layer.mlp.fc2}
    return names[key.matrix].weight if key.matrix in names else _separate(layer, key)


def _opt(layer: Any, key: MatrixKey) -> torch.Tensor:
    names = {"o": layer.self_attn.out_proj, "up": layer.fc1, "down": layer.fc2}
    return names[key.matrix].weight if key.matrix in names else _separate(layer, key)


def _starcoder2(layer: Any, key: MatrixKey) -> torch.Tensor:
    names = {"up": layer.mlp.c_fc, "down": layer.mlp.c_proj}
    return names[key.matrix].weight if key.matrix in names else _separate(layer, key)


def _llama4(layer: Any, key: MatrixKey) -> torch.Tensor:
    block = layer.feed_forward
    if key.matrix in "qkvo":
        return _separate(layer, key)
    if key.matrix.startswith("shared_"):
        return getattr(block.shared_expert, key.matrix.removeprefix("shared_") + "_proj").weight
    if key.expert < 0:
        return getattr(block, key.matrix + "_proj").weight
    if key.matrix == "down":
        return block.experts.down_proj[key.expert].T
    return block.experts.gate_up_proj[key.expert].chunk(2, dim=-1)[key.matrix == "up"].T


def _gpt_oss(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkvo":
        return _separate(layer, key)
    if key.matrix == "down":
        return layer.mlp.experts.down_proj[key.expert].T
    columns = layer.mlp.experts.gate_up_proj[key.expert]
    return (columns[..., ::2] if key.matrix == "gate" else columns[..., 1::2]).T


def _deepseek(layer: Any, key: MatrixKey) -> torch.Tensor:
    names = {"q_a": "q_a_proj", "q_b": "q_b_proj", "kv_a": "kv_a_proj_with_mqa", "kv_b": "kv_b_proj"}
    return getattr(layer.self_attn, names[key.matrix]).weight if key.matrix in names else _stacked(layer, key)


def _fused_by_head(attention: str) -> Callable[[Any, MatrixKey], torch.Tensor]:
    """BLOOM, Persimmon and one kind of Falcon: GPT-NeoX's order, the MLP under the same names."""

    def loaded(layer: Any, key: MatrixKey) -> torch.Tensor:
        holder = getattr(layer, attention)
        if key.matrix in "qkv":
            return holder.query_key_value.weight.view(HEADS, 3, HEAD_DIM, H)[:, "qkv".index(key.matrix)].reshape(H, H)
        return {"o": holder.dense, "up": layer.mlp.dense_h_to_4h, "down": layer.mlp.dense_4h_to_h}[key.matrix].weight

    return loaded


def _falcon_grouped(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        groups = layer.self_attention.query_key_value.weight.view(KV, HEADS // KV + 2, HEAD_DIM, H)
        part = {"q": groups[:, :-2], "k": groups[:, -2], "v": groups[:, -1]}[key.matrix]
        return part.reshape(-1, H)
    return _fused_by_head("self_attention")(layer, key)


def _falcon_one_key(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        heads = layer.self_attention.query_key_value.weight.view(HEADS + 2, HEAD_DIM, H)
        return {"q": heads[:-2], "k": heads[-2], "v": heads[-1]}[key.matrix].reshape(-1, H)
    return _fused_by_head("self_attention")(layer, key)


def _bigcode(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        return layer.attn.c_attn.weight.split([H, HEAD_DIM, HEAD_DIM])["qkv".index(key.matrix)]
    return {"o": layer.attn.c_proj, "up": layer.mlp.c_fc, "down": layer.mlp.c_proj}[key.matrix].weight


def _gptj(layer: Any, key: MatrixKey) -> torch.Tensor:
    names = {"o": layer.attn.out_proj, "up": layer.mlp.fc_in, "down": layer.mlp.fc_out}
    return names[key.matrix].weight if key.matrix in names else getattr(layer.attn, key.matrix + "_proj").weight


def _mpt(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkv":
        return layer.attn.Wqkv.weight.chunk(3)["qkv".index(key.matrix)]
    return {"o": layer.attn.out_proj, "up": layer.ffn.up_proj, "down": layer.ffn.down_proj}[key.matrix].weight


def _granite_moe(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in "qkvo":
        return _separate(layer, key)
    if key.expert < 0:
        shared = layer.shared_mlp
        rows = shared.input_linear.weight.chunk(2)
        return {"shared_gate": rows[0], "shared_up": rows[1], "shared_down": shared.output_linear.weight}[key.matrix]
    experts = layer.block_sparse_moe.experts
    if key.matrix == "down":
        return experts.down_proj[key.expert]
    return experts.gate_up_proj[key.expert].chunk(2, dim=0)[key.matrix == "up"]


def _qwen3_next(layer: Any, key: MatrixKey) -> torch.Tensor:
    if key.matrix in ("q", "q_gate"):
        heads = layer.self_attn.q_proj.weight.view(HEADS, 2 * HEAD_DIM, H)
        return heads.chunk(2, dim=1)[key.matrix == "q_gate"].reshape(-1, H)
    if not key.matrix.startswith("linear_"):
        return _stacked(layer, key)
    block, part = layer.linear_attn, key.matrix.removeprefix("linear_")
    if part == "o":
        return block.out_proj.weight
    if hasattr(block, "in_proj_qkvz"):
        groups = block.in_proj_qkvz.weight.view(2, -1, H).split([8, 8, 16, 16], dim=1)
        return groups["qkvz".index(part)].reshape(-1, H)
    return block.in_proj_z.weight if part == "z" else block.in_proj_qkv.weight.split([16, 16, 32])["qkv".index(part)]


_HEAD = {"head_dim": HEAD_DIM}
_MOE = {**SIZES, "num_experts_per_tok": 2}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}


def _causal(config: str, **settings: Any) -> Callable[[], Any]:
    return lambda: hf.AutoModelForCausalLM.from_config(getattr(hf, config)(**settings))


def _llava() -> Any:
    text = hf.LlamaConfig(**SIZES)
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(vision_config=hf.CLIPVisionConfig(**VISION), text_config=text)
    )


def _gemma3() -> Any:
    text = hf.Gemma3TextConfig(**SIZES, **_HEAD).to_dict()
    vision = hf.SiglipVisionConfig(**VISION).to_dict()
    return hf.Gemma3ForConditionalGeneration(
        hf.Gemma3Config(vision_config=vision, text_config=text, mm_tokens_per_image=4)
    )


def _qwen2_vl() -> Any:
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": H, "num_heads": 2, "mlp_ratio": 2}
    return hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(text_config={**SIZES, **_ROPE}, vision_config=vision))


def _llama4_multimodal() -> Any:
    text = hf.Llama4TextConfig(
        **_MOE, **_HEAD, intermediate_size_mlp=40, num_local_experts=EXPERTS, interleave_moe_layer_step=2
    )
    vision = {**VISION, "intermediate_size": 64, "vision_output_dim": H}
    vision |= {"projector_input_dim": H, "projector_output_dim": H}
    return hf.Llama4ForConditionalGeneration(hf.Llama4Config(text_config=text.to_dict(), vision_config=vision))


_FALCON = {"hidden_size": H, "num_hidden_layers": 2, "num_attention_heads": HEADS, "vocab_size": 64}
_GPT = {"n_embd": H, "n_layer": 2, "n_head": HEADS, "vocab_size": 64, "n_positions": 64}
_LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
_LINEAR |= {"layer_types": ["linear_attention", "full_attention"]}
_NEOX = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
_OPT = {"hidden_size": H, "num_hidden_layers": 2, "num_attention_heads": HEADS, "vocab_size": 64, "ffn_dim": INTER}
_DEEPSEEK = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
_DEEPSEEK |= {"n_routed_experts": EXPERTS, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
_DEEPSEEK |= {**_MOE, "moe_intermediate_size": WIDTH, "num_key_value_heads": HEADS}

#: name -> how to make the model, where it keeps a matrix
MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any, MatrixKey], torch.Tensor]]] = {
    "llama": (_causal("LlamaConfig", **SIZES), _separate),
    "llama_tied": (_causal("LlamaConfig", **SIZES, tie_word_embeddings=True), _separate),
    "mistral": (_causal("MistralConfig", **SIZES), _separate),
    "qwen2": (_causal("Qwen2Config", **SIZES), _separate),
    "qwen3": (_causal("Qwen3Config", **SIZES, head_dim=16), _separate),
    "gemma": (_causal("GemmaConfig", **SIZES, head_dim=16), _separate),
    "gemma2": (_causal("Gemma2Config", **SIZES, **_HEAD), _separate),
    "gemma3_text": (_causal("Gemma3TextConfig", **SIZES, **_HEAD), _separate),
    "olmo": (_causal("OlmoConfig", **SIZES), _separate),
    "olmo2": (_causal("Olmo2Config", **SIZES), _separate),
    "smollm3": (_causal("SmolLM3Config", **SIZES), _separate),
    "phi3": (_causal("Phi3Config", **SIZES), _phi3),
    "glm4": (_causal("Glm4Config", **SIZES, **_HEAD), _gate_up),
    "phi": (_causal("PhiConfig", **SIZES), _phi),
    "opt": (_causal("OPTConfig", **_OPT, word_embed_proj_dim=H, max_position_embeddings=64), _opt),
    "starcoder2": (_causal("Starcoder2Config", **SIZES), _starcoder2),
    "arcee": (_causal("ArceeConfig", **SIZES), _separate),
    "gpt2": (_causal("GPT2Config", n_embd=H, n_layer=2, n_head=HEADS, vocab_size=64, n_positions=64), _gpt2),
    "gpt_neox": (_causal("GPTNeoXConfig", **_NEOX), _neox),
    "mixtral": (_causal("MixtralConfig", **_MOE, num_local_experts=EXPERTS), _stacked),
    "qwen2_moe": (
        _causal(
            "Qwen2MoeConfig",
            **_MOE,
            num_experts=EXPERTS,
            moe_intermediate_size=WIDTH,
            shared_expert_intermediate_size=40,
            mlp_only_layers=[0],
        ),
        _stacked,
    ),
    "qwen3_moe": (
        _causal("Qwen3MoeConfig", **_MOE, **_HEAD, num_experts=EXPERTS, moe_intermediate_size=WIDTH),
        _stacked,
    ),
    "olmoe": (_causal("OlmoeConfig", **_MOE, num_experts=EXPERTS), _stacked),
    "deepseek_v3": (_causal("DeepseekV3Config", **_DEEPSEEK), _deepseek),
    "gpt_oss": (_causal("GptOssConfig", **_MOE, **_HEAD, num_local_experts=EXPERTS), _gpt_oss),
    "bloom": (
        _causal("BloomConfig", hidden_size=H, n_layer=2, n_head=HEADS, vocab_size=64),
        _fused_by_head("self_attention"),
    ),
    "persimmon": (_causal("PersimmonConfig", **_NEOX), _fused_by_head("self_attn")),
    "falcon_grouped": (
        _causal("FalconConfig", **_FALCON, new_decoder_architecture=True, num_kv_heads=KV),
        _falcon_grouped,
    ),
    "falcon_one_key": (_causal("FalconConfig", **_FALCON), _falcon_one_key),
    "falcon_every_head": (_causal("FalconConfig", **_FALCON, multi_query=False), _fused_by_head("self_attention")),
    "gpt_bigcode": (_causal("GPTBigCodeConfig", **_GPT), _bigcode),
    "gptj": (_causal("GPTJConfig", **_GPT, rotary_dim=4), _gptj),
    "mpt": (_causal("MptConfig", d_model=H, n_layers=2, n_heads=HEADS, vocab_size=64), _mpt),
    "granitemoeshared": (
        _causal("GraniteMoeSharedConfig", **_MOE, num_local_experts=EXPERTS, shared_intermediate_size=40),
        _granite_moe,
    ),
    "phimoe": (_causal("PhimoeConfig", **_MOE, num_local_experts=EXPERTS), _stacked),
    "qwen3_next": (
        _causal(
            "Qwen3NextConfig",
            **_MOE,
            **_HEAD,
            **_LINEAR,
            num_experts=EXPERTS,
            moe_intermediate_size=WIDTH,
            shared_expert_intermediate_size=40,
        ),
        _qwen3_next,
    ),
    "qwen3_5": (_causal("Qwen3_5TextConfig", **SIZES, **_HEAD, **_LINEAR), _qwen3_next),
    "llama4": (_llama4_multimodal, _llama4),
    "llava": (_llava, _separate),
    "gemma3": (_gemma3, _separate),
    "qwen2_vl": (_qwen2_vl, _separate),
}


def example(name: str, folder: Path, dtype: torch.dtype = torch.bfloat16, **saving: Any) -> Example:
    """Make, randomise and save one model."""
    make, _ = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    model = make().to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # initial norms and biases are ones and zeros: nothing to tell them apart
            parameter.copy_(torch.randn(parameter.shape) * 0.05)
    model.save_pretrained(folder, **saving)
    return Example(model, folder, lambda key: loaded_weight(name, model, key))


def loaded_weight(name: str, model: Any, key: MatrixKey) -> torch.Tensor:
    """The weight of one principal matrix in a model in memory, float32, output x input."""
    return MODELS[name][1](_layers(model)[key.layer], key).detach().float()


def read_raw(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_raw(path: Path, header: dict[str, Any] | bytes, data: bytes, length: int | None = None) -> None:
    """A safetensors file from a header that need not be right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
