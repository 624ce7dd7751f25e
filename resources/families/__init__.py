"""The model registry: which checkpoints exist, what each descends from, and where it lies.

One YAML file describes one model family. The shipped ones are in `families/`, a user's own in any other folder;
`load_registry(shipped, users)` reads them all and checks them together. What a file may say:

    family: demo                    # required; the family's name
    title: Demo family
    description: What it is and how large.
    automatic: true                 # false: listed, but run only when a model of it is named (default true)
    models:                         # required
      - id: demo-base               # required; the partition key: letters, digits, ".", "_", "-", at most 128
        role: base                  # base, descendant or unrelated; descendant when `base` is given
        path: ../demo/checkpoints/demo-base   # a folder, relative to this file; exactly one of path and hub
      - id: qwen2.5-math-1.5b-instruct
        base: qwen2.5-math-1.5b     # the model it is compared with, of this file or another
        references: [other-id]      # further models it is compared with
        method: instruct            # one word, see METHOD_WORDS for those with a fixed meaning
        hub: Qwen/Qwen2.5-Math-1.5B-Instruct   # a repository on the Hugging Face Hub
        revision: main              # branch, tag or commit on the Hub (default main)
    evaluation:                     # what the models of this family are scored on
      tasks: [gsm8k, {name: mmlu, num_fewshot: 5, limit: 100}]
      include_path: ../demo/tasks   # a folder of task files, relative to this file
      prompts: [Once upon a time]   # fixed prompts to generate from
    recipes: [...]                  # edit recipes, texts or mappings, handed on as they are

A descendant and an unrelated model (a negative control) name a `base`. A base has none and is compared with
itself, which gives the numerical floor. Whether a checkpoint is really there is not asked here but by the asset
that reads it, so that one missing folder does not take the whole registry down.

The rules of a file are one JSON schema (`schema`). The reader walks YAML nodes along it, not loaded values, because
only nodes know their line: a typo is answered with the file, the line, the key, what was expected and what was
probably meant (`reader`). Entries, and the registry that all files make together, are in `registry`; `local` writes a
file for a pair that `rotoscale compare` was given.
"""

from resources.families.local import UnknownSource, register_local, unregistered
from resources.families.reader import MAX_FILE_BYTES, FamilyFileError
from resources.families.registry import (
    Evaluation,
    Family,
    ModelEntry,
    Registry,
    Task,
    UnknownModel,
    load_family,
    load_registry,
)
from resources.families.schema import METHOD_WORDS, MODEL_ID_PATTERN, ROLES, family_schema

__all__ = [
    "MAX_FILE_BYTES",
    "METHOD_WORDS",
    "MODEL_ID_PATTERN",
    "ROLES",
    "Evaluation",
    "Family",
    "FamilyFileError",
    "ModelEntry",
    "Registry",
    "Task",
    "UnknownModel",
    "UnknownSource",
    "family_schema",
    "load_family",
    "load_registry",
    "register_local",
    "unregistered",
]
