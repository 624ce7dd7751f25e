"""Edited checkpoints: what is to be made (`plan`), how it is made (`build`), and which of them stay on disk (`shelf`).

The weights themselves come from `rotoscale.recipes`; the folder is written by `resources.checkpoints`.
"""

from resources.edits.plan import EditPlan, default_plans, plans_of, read_plan

__all__ = ["EditPlan", "default_plans", "plans_of", "read_plan"]
