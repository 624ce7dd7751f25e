"""Write what is made from the definition of family files: `families/schema.json`, and the tables in docs/families.md.

python -m scripts.family_schema
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from resources.families.schema import SCHEMA_FILE, editor_schema, key_tables

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA = PROJECT / "families" / SCHEMA_FILE
PAGE = PROJECT / "docs" / "families.md"
_BLOCK = re.compile(r"(<!-- keys: .*? -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def schema_text() -> str:
    """What `families/schema.json` should hold."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


def page_text(page: str) -> str:
    """The page with its tables as they should be."""
    return _BLOCK.sub(lambda found: found[1] + "\n" + key_tables() + "\n" + found[2], page)


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
