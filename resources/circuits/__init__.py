"""Circuits in models: prompts for their tokenizer, hooks on their heads, path patching, masks and cross-model patching.

The method is docs/methods.md, section 4; the rules and controls are `rotoscale.circuits`. Entry points are
`resources.circuits.finding.find_circuit` and `resources.circuits.following.follow_circuit`.
"""
