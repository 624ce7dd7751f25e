"""Circuits of attention heads for entity tracking: the task, the scores, the rules and the controls.

Everything here is about strings, numbers and plain tensors (docs/methods.md, section 4); what runs a model lives in
`resources.circuits`.
"""
