"""What a family file may say, as one JSON schema: the reader walks along it and quotes its descriptions."""

from __future__ import annotations

from typing import Any

from resources.hub import REPO_ID_PATTERN, REVISION_PATTERN

# Dots in a row are kept out of ids because Dagster reserves "..." for ranges of partitions.
MODEL_ID_PATTERN = r"^(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
ROLES = ("base", "descendant", "unrelated")
METHOD_WORDS: dict[str, str] = {
    "base": "pre-trained, nothing after",
    "instruct": "instruction or chat tuning, all stages together",
    "reasoning": "trained or distilled on written-out reasoning",
    "math": "tuned on mathematics",
    "code": "tuned on code",
    "adapter": "a LoRA adapter, merged into its base when read",
    "sft": "supervised fine-tuning stage alone",
    "dpo": "preference optimization stage",
    "rl": "reinforcement learning stage",
    "continued": "continued pre-training",
    "scratch": "trained from another random start: a control",
    "unspecified": "nothing said",
}


def family_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a family file; descriptions are what error messages quote."""

    def text(description: str, **more: Any) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "description": description, **more}

    def items(description: str, of: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "array", "items": of, "description": description, **more}

    def mapping(description: str, required: list[str], properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "description": description,
            "required": required,
            "properties": properties,
            "additionalProperties": False,
            **more,
        }

    model_id = text(
        'a model id: letters, digits, ".", "_" and "-", first a letter or digit, no "..", at most 128',
        pattern=MODEL_ID_PATTERN,
    )
    whole = "a whole number"
    model = mapping(
        "a model: a mapping with an id and a path or hub",
        ["id"],
        {
            "id": model_id,
            "role": text("base, descendant or unrelated", enum=list(ROLES)),
            "base": model_id,
            "references": items("a list of model ids", model_id),
            "method": text(
                "one lower-case word, such as " + ", ".join(list(METHOD_WORDS)[:-1]),
                pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
            ),
            "path": text("a folder, relative to this file"),
            "hub": text("a Hub repository such as Qwen/Qwen2.5-1.5B", pattern=REPO_ID_PATTERN),
            "revision": text("a branch, tag or commit on the Hub", pattern=REVISION_PATTERN),
        },
        oneOf=[{"required": ["path"]}, {"required": ["hub"]}],
        anyOf=[{"required": ["role"]}, {"required": ["base"]}],
        dependentRequired={"revision": ["hub"]},
    )
    task = mapping(
        "the name of an lm-eval task, or a mapping with a name",
        ["name"],
        {
            "name": text("the name of an lm-eval task"),
            "num_fewshot": {"type": "integer", "minimum": 0, "description": f"{whole}, 0 or more"},
            "limit": {"type": "integer", "minimum": 1, "description": f"{whole}, 1 or more"},
        },
    )
    task |= {"type": ["string", "object"], "minLength": 1}
    evaluation = mapping(
        "a mapping with tasks, include_path and prompts",
        [],
        {
            "tasks": items("a list of lm-eval tasks", task),
            "include_path": text("a folder of task files, relative to this file"),
            "prompts": items("a list of texts", text("a text")),
        },
    )
    recipe = {"type": ["string", "object"], "minLength": 1, "description": "an edit recipe: a name or a mapping"}
    schema = mapping(
        "a family: a mapping with family and models",
        ["family", "models"],
        {
            "family": text(
                'a family name: letters, digits, ".", "_" and "-"', pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$"
            ),
            "title": text("a line of text"),
            "description": text("a text"),
            "automatic": {"type": "boolean", "description": "true or false"},
            "models": items("a list of models, at least one", model, minItems=1),
            "evaluation": evaluation,
            "recipes": items("a list of edit recipes", recipe),
        },
    )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Rotoscale family file", **schema}
