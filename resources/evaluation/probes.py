"""What a score does not show: the text a model writes, how sharp its attention is, how it represents a text.

All three use the same fixed prompts of the family, so that subjects can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resources.evaluation.subjects import encoded

if TYPE_CHECKING:
    import torch

DEFAULT_PROMPTS = (
    "Once upon a time, in a small village by the sea, there lived",
    "Question: A farmer has 12 cows and buys 7 more. How many cows does he have now? Answer:",
    "The three most important things to know about the moon are",
    "To solve the equation 2x + 3 = 11, first",
    "The apple is in Box F, the bell is in Box Q, the coin is in Box A. Box Q contains the",
    "def fibonacci(n):",
)

NEW_TOKENS = 32
LONGEST_PROMPT = 256
GENERATED_PROMPTS = 6
"""A few texts are enough to see what a model writes; hidden states and attention use all prompts."""


def generate(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[dict[str, Any]]:
    """Greedy continuations of the first prompts, all in one batch: prompt_id, prompt, text, n_tokens, tokens."""
    import torch
    from transformers import GenerationConfig

    own = model.generation_config
    ends = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    padding = next((x for x in (own.pad_token_id, tokenizer.pad_token_id) if x is not None), 0)
    # A configuration of our own: the model's may ask for sampling, and greedy has to be greedy.
    greedy = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=NEW_TOKENS,
        eos_token_id=ends,
        pad_token_id=padding,
        bos_token_id=own.bos_token_id,
    )
    chosen = prompts[:GENERATED_PROMPTS]
    texts = [encoded(tokenizer, prompt, LONGEST_PROMPT, model.device)[0] for prompt in chosen]
    longest = max(text.numel() for text in texts)
    ids = torch.full((len(texts), longest), padding, device=model.device)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):  # padded on the left, so that all go on from the same column
        ids[row, longest - text.numel() :] = text
        mask[row, longest - text.numel() :] = 1
    with torch.inference_mode():
        written = model.generate(input_ids=ids, attention_mask=mask, generation_config=greedy)[:, longest:]
    stops = set(ends if isinstance(ends, list) else [ends])
    rows = []
    for number, (prompt, new) in enumerate(zip(chosen, written.tolist(), strict=True)):
        end = next((i + 1 for i, token in enumerate(new) if token in stops), len(new))
        text = tokenizer.decode(new[:end], skip_special_tokens=True)
        rows.append({"prompt_id": number, "prompt": prompt, "text": text, "n_tokens": end, "tokens": new[:end]})
    return rows


def attention_entropies(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[list[list[float]]]:
    """Mean attention entropy in nats by prompt, layer and head, over all positions but the first
    (docs/methods.md, section 1).

    The attention weights themselves are only computed by the plain ("eager") implementation, which is switched on for
    the purpose. Prompts of fewer than two tokens are left out.
    """
    import torch

    from rotoscale.attention import attention_entropy

    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        found = []
        for prompt in prompts:
            ids = encoded(tokenizer, prompt, LONGEST_PROMPT, model.device)
            if ids.shape[1] < 2:
                continue
            with torch.inference_mode():
                layers = model(input_ids=ids, output_attentions=True, use_cache=False).attentions
            found.append([attention_entropy(weights[0].float().cpu()).tolist() for weights in layers])
        return found
    finally:
        model.set_attn_implementation(before)


def hidden_states(model: Any, tokenizer: Any, prompts: Sequence[str], most_tokens: int = 1024) -> list[torch.Tensor]:
    """Hidden states of all prompts, one (tokens x width) float32 matrix for the embedding and for each block.

    The first token of each prompt is left out: where it is the same in all prompts it says nothing, and its state is
    often so large that it would drown all others.
    """
    import torch

    collected: list[list[torch.Tensor]] = []
    tokens = 0
    for prompt in prompts:
        ids = encoded(tokenizer, prompt, LONGEST_PROMPT, model.device)[:, : most_tokens - tokens + 1]
        if ids.shape[1] < 2:
            continue
        with torch.inference_mode():
            states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        collected.append([state[0, 1:].float().cpu() for state in states])
        tokens += ids.shape[1] - 1
    return [torch.cat(layer) for layer in zip(*collected, strict=True)]


def similarity(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
    """Unbiased linear CKA by layer of two subjects' hidden states: layer, cka, n_tokens.

    Empty when the two cannot be compared: another number of layers, or another tokenizer.
    """
    from rotoscale.similarity import FEWEST, linear_cka

    if len(first) != len(second) or not first or first[0].shape[0] != second[0].shape[0]:
        return []
    if first[0].shape[0] < FEWEST:
        return []
    return [
        {"layer": layer, "cka": linear_cka(x, y), "n_tokens": x.shape[0]}
        for layer, (x, y) in enumerate(zip(first, second, strict=True))
    ]
