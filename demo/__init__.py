"""The small model family that ships with the project: its corpus, its training and its checkpoints.

Everything here is generated from seeds and trained on two processor cores, so that anyone can run the whole
project on real trained models without downloading any. `README.md` in this folder tells what the family can do.
"""
