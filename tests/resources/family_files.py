"""A family file with everything in it, and how tests put one down."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = PROJECT / "families"

GOOD = """\
family: small
title: Small family
models:
  - id: small-base
    role: base
    path: checkpoints/base
  - id: small-chat
    base: small-base
    method: instruct
    hub: org/small-chat
    revision: v1.0
  - id: small-other
    role: unrelated
    base: small-base
    path: checkpoints/other
evaluation:
  tasks:
    - gsm8k
    - name: mmlu
      num_fewshot: 5
      limit: 100
  include_path: tasks
  prompts: [Once upon a time]
recipes:
  - restore
  - name: shuffle
    strength: 0.5
"""


def write(folder: Path, text: str, name: str = "small.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file
