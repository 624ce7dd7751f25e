"""Path patching, four ways, in one run on the same model, prompts and heads.

(a) one full hooked forward per head (two where receivers are patched), as the study's code does it
(b) the same with nnsight, on fewer heads (`--nnsight`), scaled up
(c) ours, exact
(d) ours, screened: gradients for all heads, exact on the top 20 % and a random 5 %

on a random Llama of 16 layers with 16 heads and prompts of 54 tokens. (a), (b) and (c) must agree to 1e-4. Receivers
are three heads a step, in layers 15 to 9, so that there are senders below all of them.

    OMP_NUM_THREADS=1 python benchmarks/path_patching.py
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from resources.circuits.batches import Batches
from resources.circuits.model import HeadModel
from resources.circuits.path_patching import Path, head_paths, patch_paths
from resources.circuits.prompts import PromptMaker, Prompts
from resources.circuits.screen import screen_paths
from rotoscale.circuits.heads import LOGITS, STEPS, Head, Step
from rotoscale.circuits.scores import measure, relative_change
from rotoscale.circuits.screening import rank_correlation, to_verify

RECEIVERS = {
    "A": (Head(13, 1), Head(14, 5), Head(15, 9)),
    "B": (Head(11, 2), Head(12, 6), Head(13, 3)),
    "C": (Head(9, 4), Head(10, 8), Head(10, 11)),
}
TOLERANCE = 1e-4


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from rotoscale.circuits.task import LETTERS, OBJECTS

    fixed = ["<bos>", "<unk>", ",", ".", "The", "the", "Box", "is", "in", "contains", "it"]
    words = [*fixed, *LETTERS, *OBJECTS]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<bos>", unk_token="<unk>")


def random_model(width: int, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=8 * width // 3 // 16 * 16,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=64,
        initializer_range=width**-0.5,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).float().eval()


class Full:
    """The study's way: whole forward passes with hooks, all prompts of one queried box at once."""

    def __init__(self, model: Any, prompts: Prompts, other: Prompts) -> None:
        self.model, self.prompts, self.other = model, prompts, other
        self.size = model.config.hidden_size // model.config.num_attention_heads
        self.out = [layer.self_attn.o_proj for layer in model.model.layers]
        self.into = {via: [getattr(layer.self_attn, f"{via}_proj") for layer in model.model.layers] for via in "qkv"}
        self.clean, self.logits = self.heads(prompts.tokens)
        self.patch, _ = self.heads(other.tokens)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[:, -1]

    def heads(self, tokens: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        kept: list[torch.Tensor] = []
        handles = [one.register_forward_pre_hook(lambda _, args: kept.append(args[0])) for one in self.out]
        logits = self.forward(tokens)
        for handle in handles:
            handle.remove()
        return kept, logits

    def score(self, step: Step, path: Path) -> torch.Tensor:
        at, there = int(self.prompts.position(step.position)[0]), int(self.other.position(step.position)[0])
        mine = slice(path.sender.head * self.size, (path.sender.head + 1) * self.size)
        handles, seen = [], {}

        def freeze(layer: int) -> Callable[..., Any]:
            def hook(_: Any, args: Any) -> Any:
                z = args[0].clone()
                z[:, at:] = self.clean[layer][:, at:]
                if layer == path.sender.layer:
                    z[:, at, mine] = self.patch[layer][:, there, mine]
                return (z,)

            return hook

        def look(receiver: Head) -> Callable[..., None]:
            def hook(_: Any, __: Any, out: torch.Tensor) -> None:
                seen[receiver] = out[:, at, receiver.head * self.size : (receiver.head + 1) * self.size].clone()

            return hook

        def put(receiver: Head) -> Callable[..., torch.Tensor]:
            def hook(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
                out = out.clone()
                out[:, at, receiver.head * self.size : (receiver.head + 1) * self.size] = seen[receiver]
                return out

            return hook

        handles = [one.register_forward_pre_hook(freeze(layer)) for layer, one in enumerate(self.out)]
        handles += [self.into[step.via][one.layer].register_forward_hook(look(one)) for one in path.receivers]
        logits = self.forward(self.prompts.tokens)
        for handle in handles:
            handle.remove()
        if path.receivers:
            handles = [self.into[step.via][one.layer].register_forward_hook(put(one)) for one in path.receivers]
            logits = self.forward(self.prompts.tokens)
            for handle in handles:
                handle.remove()
        return _change(logits, self.logits, self.prompts)


class WithNNsight(Full):
    """The same runs as nnsight traces."""

    def score(self, step: Step, path: Path) -> torch.Tensor:
        import nnsight

        at, there = int(self.prompts.position(step.position)[0]), int(self.other.position(step.position)[0])
        first, size, tokens = path.sender.head * self.size, self.size, self.prompts.tokens
        clean, patch, via, sender = self.clean, self.patch, step.via, path.sender
        model = nnsight.NNsight(self.model)
        layers = model.model.layers
        receivers = sorted(path.receivers)
        with model.trace(input_ids=tokens, use_cache=False, logits_to_keep=1):
            vectors = nnsight.save({})
            for index in range(len(clean)):
                attention = layers[index].self_attn
                if any(one.layer == index for one in receivers):
                    vectors[index] = getattr(attention, f"{via}_proj").output[:, at].clone()
                heads = attention.o_proj.input.clone()
                heads[:, at:] = clean[index][:, at:]
                if index == sender.layer:
                    heads[:, at, first : first + size] = patch[index][:, there, first : first + size]
                attention.o_proj.input = heads
            logits = model.lm_head.output[:, -1].save()
        if receivers:
            with model.trace(input_ids=tokens, use_cache=False, logits_to_keep=1):
                for one in receivers:
                    part = getattr(layers[one.layer].self_attn, f"{via}_proj")
                    changed, start = part.output.clone(), one.head * size
                    changed[:, at, start : start + size] = vectors[one.layer][:, start : start + size]
                    part.output = changed
                logits = model.lm_head.output[:, -1].save()
        return _change(logits, self.logits, self.prompts)


def _change(logits: torch.Tensor, clean: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    return relative_change(
        measure(logits, prompts.answers, prompts.objects), measure(clean, prompts.answers, prompts.objects)
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def by_whole_runs(
    kind: type[Full], model: Any, prompts: Prompts, other: Prompts, step: Step, paths: Sequence[Path]
) -> torch.Tensor:
    found = torch.zeros(len(paths), len(prompts))
    with torch.no_grad():
        for index in prompts.batches(len(prompts)):
            full = kind(model, prompts.take(index), other.take(index))
            for row, path in enumerate(paths):
                found[row, index] = full.score(step, path)
    return found


def screened(model: HeadModel, batches: Batches, step: Step, paths: Sequence[Path]) -> tuple[float | None, int]:
    estimates = screen_paths(model, batches, step, paths).probability.mean(1)
    top, audited = to_verify(estimates)
    known = [*top, *audited]
    exact = patch_paths(model, batches, step, [paths[i] for i in known]).probability.mean(1)
    return rank_correlation(estimates[known], exact), len(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--prompts", type=int, default=7)
    parser.add_argument("--every", type=int, default=8, help="patch one head in so many (1: all 256)")
    parser.add_argument("--nnsight", type=int, default=4, help="heads a step that nnsight patches; 0: none")
    options = parser.parse_args()
    stock = random_model(options.width, options.vocabulary)
    words = tokenizer()
    maker = PromptMaker(words)
    prompts = maker.draw(options.prompts, seed=0)
    other = maker.counterfactuals(prompts, seed=0)
    model = HeadModel(random_model(options.width, options.vocabulary), words)
    print(f"16 layers, 16 heads, width {options.width}; {len(prompts)} prompts of {prompts.tokens.shape[1]} tokens")
    print(
        f"{'step':5}{'heads':>6}{'(a) s':>9}{'(b) s':>9}{'(c) s':>9}{'(d) s':>9}{'a/c':>7}{'b/c':>7}{'a/d':>7}"
        f"{'|a-c|':>10}{'|b-c|':>10}{'rank':>7}"
    )
    result = {}
    for step in STEPS:
        receivers = () if step.receivers == LOGITS else RECEIVERS[step.receivers]
        paths = head_paths(model, receivers)[:: options.every]
        few = paths[:: max(1, len(paths) // options.nnsight)][: options.nnsight] if options.nnsight else ()
        with torch.no_grad():
            stock(prompts.tokens)  # warm
        a, a_wall, a_cpu = timed(lambda s=step, p=paths: by_whole_runs(Full, stock, prompts, other, s, p))
        b, _, b_cpu = timed(lambda s=step, p=few: by_whole_runs(WithNNsight, stock, prompts, other, s, p))
        c, c_wall, c_cpu = timed(lambda s=step, p=paths: patch_paths(model, Batches(model, prompts, other), s, p))
        d, d_wall, d_cpu = timed(lambda s=step, p=paths: screened(model, Batches(model, prompts, other), s, p))
        b_all = b_cpu * len(paths) / len(few) if few else float("nan")
        error = float((a - c.probability).abs().max())
        rows = [paths.index(path) for path in few]
        other_error = float((b - c.probability[rows]).abs().max()) if few else float("nan")
        assert error < TOLERANCE, f"step {step.group}: (a) and (c) differ by {error}"
        assert not few or other_error < TOLERANCE, f"step {step.group}: (b) and (c) differ by {other_error}"
        print(
            f"{step.group:5}{len(paths):6}{a_cpu:9.2f}{b_all:9.2f}{c_cpu:9.2f}{d_cpu:9.2f}{a_cpu / c_cpu:7.1f}"
            f"{b_all / c_cpu:7.1f}{a_cpu / d_cpu:7.1f}{error:10.1e}{other_error:10.1e}{d[0] or 0:7.2f}",
            flush=True,
        )
        result[step.group] = {
            "heads": len(paths),
            "cpu": {"a": a_cpu, "b": b_all, "c": c_cpu, "d": d_cpu},
            "wall": {"a": a_wall, "c": c_wall, "d": d_wall},
            "largest_score": float(c.probability.abs().max()),
            "rank_correlation": d[0],
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
