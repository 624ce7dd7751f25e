"""A tiny family that can do something: letters in order, learned in seconds, with a tokenizer and lm-eval tasks.

`speaker` continues the alphabet; `fluent` was trained on; `broken` is `fluent` with weights so large that it computes
NaN; `adapter` is a LoRA adapter on `speaker`.
"""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path
from typing import Any

FAMILY = """\
family: speakers
models:
  - {{id: speaker, role: base, path: {checkpoints}/speaker}}
  - {{id: fluent, base: speaker, method: math, path: {checkpoints}/fluent}}
  - {{id: lora, base: speaker, method: adapter, path: {checkpoints}/adapter}}
evaluation:
  include_path: {tasks}
  tasks: {names}
  prompts: [a b c d e f g h, m n o p q r s t u v, x y z a b c d e f]
recipes: {recipes}
"""

TASK = """\
task: {name}
custom_dataset: !function letters.{name}
output_type: {output}
test_split: test
{document}
metric_list:
{metrics}
metadata:
  version: 1.0
"""

LETTERS = """\
import json
from pathlib import Path

from datasets import Dataset


def _read(name):
    lines = (Path(__file__).parent / f"{name}.jsonl").read_text().splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def next_letter(**_):
    return _read("next_letter")


def lines(**_):
    return _read("lines")
"""


def make_speakers(folder: Path) -> Path:
    """The checkpoints, under `folder`."""
    import torch

    model = _model()
    _train(model, steps=45, rate=1e-2, seed=0)
    _save(model, folder / "speaker")
    _adapter(folder / "speaker", folder / "adapter")
    _train(model, steps=15, rate=5e-3, seed=1)
    _save(model, folder / "fluent")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "down_proj" in name or "norm" in name:
                weight.mul_(3e30)
    _save(model, folder / "broken")
    return folder


def _model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        initializer_range=0.15,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def tokenizer() -> Any:
    """One token for each letter."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *string.ascii_lowercase])}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def _train(model: Any, steps: int, rate: float, seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    model.train()
    for _ in range(steps):
        first = torch.randint(0, 26, (16, 1), generator=generator)
        tokens = 4 + (first + torch.arange(12)) % 26
        tokens = torch.cat([torch.ones(16, 1, dtype=torch.long), tokens], 1)
        # Some letters are wrong, so that nothing is certain and scores differ from 0 and 1.
        wrong = torch.rand(tokens.shape, generator=generator) < 0.1
        tokens = torch.where(wrong, torch.randint(4, 30, tokens.shape, generator=generator), tokens)
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _save(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def _adapter(base: Path, folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    torch.manual_seed(1)
    tuned = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"]))
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    tuned.save_pretrained(folder)


def make_tasks(folder: Path) -> Path:
    """A folder of lm-eval tasks: `next_letter` (accuracy), `lines` (perplexity), `no_data` (its file is missing)."""
    import random

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "letters.py").write_text(LETTERS, encoding="utf-8")
    draw = random.Random(0)
    alphabet = string.ascii_lowercase

    def run(start: int, length: int) -> str:
        return " ".join(alphabet[(start + i) % 26] for i in range(length))

    questions = []
    for _ in range(60):
        start, length = draw.randrange(26), draw.randint(2, 5)
        questions.append({"prompt": run(start, length), "answer": " " + alphabet[(start + length) % 26]})
    texts = [{"text": run(draw.randrange(26), 8)} for _ in range(20)]
    for name, rows in (("next_letter", questions), ("lines", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    accuracy = "  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    perplexity = "  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}"
    words = "  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}"
    pairs = 'doc_to_text: "{{prompt}}"\ndoc_to_target: "{{answer}}"'
    whole = 'doc_to_text: ""\ndoc_to_target: "{{text}}"'
    files = {
        "next_letter": TASK.format(
            name="next_letter", output="loglikelihood", document=pairs, metrics=accuracy + perplexity
        ),
        "lines": TASK.format(name="lines", output="loglikelihood_rolling", document=whole, metrics=words),
    }
    files["no_data"] = (
        files["lines"]
        .replace("lines", "no_data")
        .replace(
            "custom_dataset: !function letters.no_data",
            "dataset_path: json\ndataset_kwargs: {data_files: {test: nowhere/gone.jsonl}}",
        )
    )
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def write_speakers(
    folder: Path, checkpoints: Path, tasks: Path, names: list[str], recipes: list[Any], more: str = ""
) -> Path:
    """A folder with the family file; `more` is put among its models."""
    folder.mkdir(parents=True, exist_ok=True)
    text = FAMILY.format(checkpoints=checkpoints, tasks=tasks, names=json.dumps(names), recipes=json.dumps(recipes))
    (folder / "speakers.yaml").write_text(text.replace("evaluation:", more + "evaluation:", 1), encoding="utf-8")
    return folder


def copy_with(source: Path, target: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    shutil.copytree(source, target)
    return target
