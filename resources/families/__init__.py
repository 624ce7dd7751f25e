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
      tasks: [gsm8k, {name: mmlu, num_fewshot: 5, limit: 100}]    # each once
      include_path: ../demo/tasks   # a folder of task files, relative to this file
      prompts: [Once upon a time]   # fixed prompts to generate from
    recipes: [...]                  # edit recipes, texts or mappings, handed on as they are; see below
    watch: {hub: true}              # where new releases are looked for, and which are taken: see `watch`

A descendant and an unrelated model (a negative control) name a `base`. A base has none and is compared with
itself, which gives the numerical floor. Whether a checkpoint is really there is not asked here but by the asset
that reads it, so that one missing folder does not take the whole registry down.

Edits are made of a descendant where something asks for them: `recipes:` names them, or there are tasks that would
score them, and then the default recipes are made (`Family.edits_wanted`). A family with neither gets none, and so does
one that says `recipes: []`.

`rotoscale compare` registers what it is given in files of its own, `local-<base id>.yaml` in the data folder, one per
base (`local`; what a text on the command line means is in `source`). Their first line says who wrote them, and a file
with that line is never automatic, whatever it says: remove the line to make the file yours.

A release that was found for a watched family is registered in a file of its own, in the folder `releases` below the
user's folder (`releases`): it joins the family that it names. Such a file never breaks the registry: where its family
or base is gone, or its id is taken meanwhile, it is left out.

What the values may be are pydantic models (`entries`, with the types of single values in `fields`). `file` reads YAML
nodes, not loaded values, because only nodes know their line and how a value was written: a typo is answered with the
file, the line, the key, what was expected and what was probably meant. The registry that all files make together is
in `registry`. `family_schema()` is the JSON schema of a file, for editors.
"""

from resources.families.entries import (
    METHOD_WORDS,
    ROLES,
    Evaluation,
    Family,
    ModelEntry,
    Task,
    family_schema,
)
from resources.families.fields import MODEL_ID_PATTERN
from resources.families.file import MAX_FILE_BYTES, FamilyFileError
from resources.families.local import Registration, register_local
from resources.families.pairs import pair_key, pairs_of
from resources.families.registry import Registry, UnknownModel, load_family, load_registry
from resources.families.releases import register_release
from resources.families.source import UnknownSource, unregistered
from resources.families.watch import RELATIONS, Watch

__all__ = [
    "MAX_FILE_BYTES",
    "METHOD_WORDS",
    "MODEL_ID_PATTERN",
    "RELATIONS",
    "ROLES",
    "Evaluation",
    "Family",
    "FamilyFileError",
    "ModelEntry",
    "Registration",
    "Registry",
    "Task",
    "UnknownModel",
    "UnknownSource",
    "Watch",
    "family_schema",
    "load_family",
    "load_registry",
    "pair_key",
    "pairs_of",
    "register_local",
    "register_release",
    "unregistered",
]
