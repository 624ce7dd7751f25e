"""Where the matrices of each architecture live, as data.

One YAML file per layout. To add a model type whose tensors are named like an existing one's, add a line under its
``model_types``; for a new layout, add a file. Nothing else changes.

A file may lie here, or in a folder of your own that the environment variable ROTOSCALE_ARCHITECTURES names:

    export ROTOSCALE_ARCHITECTURES=~/architectures      # read at every start, *.yaml and *.yml

Files of your own may extend those that ship here. They add model types; one that is described already, and a file name
that is taken, are errors that name both files. Any mistake is answered with the file, the line, the key and what was
expected. The smallest file adds a model whose tensors are called as in Llama:

    extends: llama
    model_types:
      my_model: {}

The keys of a file:

    extends: llama                  take over every key of that file but model_types where none is given here; blocks
                                    and sizes one by one (a block given as nothing, `mlp:`, is left out)
    model_types:                    the `model_type` words of config.json that this file describes,
      qwen3: {head_dim: 128}        with the values transformers assumes where config.json is silent
    prefixes: ["model.", ""]        where the decoder may sit; the canonical name of a tensor is without them
    layer: "layers.{layer}."        start of a layer's tensors, behind the prefix
    embedding, head                 tensor names; the head is looked for with and without a prefix, else it is tied
    sizes:                          name -> config keys and formulas, tried in turn; see common.yaml
    qk_norm: [...]                  tensors of a layer (or, with "config:", a config key) that mean normalised q and k
    aliases: [[old, new]]           canonical-name parts to rewrite, where one architecture has two spellings
    skipped: [[pattern, reason]]    regular expressions on canonical names -> reason; before those of common.yaml
    when: {variant: {key: value}}   a variant that counts only where config.json has these values
    blocks:
      attention:                    every layer has exactly one variant of every block
        separate:                   a variant is a list of tensors, all of which must be there
          - {tensor: self_attn.q_proj.weight, parts: {q: heads*head_dim}, in: hidden}
      shared?:                      a block with a question mark may be missing from a layer

A tensor holds one or more parts, one after the other along the output axis:

    parts: {q: heads*head_dim, k: kv_heads*head_dim}    part -> rows in each group
    groups: heads                   the sequence of parts repeats that often (GPT-NeoX: head by head); default 1
    in: hidden                      input features
    stored: in_out                  the tensor is stored transposed (Conv1D of GPT-2); default out_in
    experts: experts                a mixture of experts: with `{expert}` in the tensor's name one tensor each, else
                                    one tensor stacked along a leading axis

Nothing is ever guessed from a shape: shapes are only checked against these formulas.
"""
