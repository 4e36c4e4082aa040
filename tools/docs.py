"""Write the generated part of the documents, the list of families in docs/checkpoints.md: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from transfer.checkpoints.families import families_table

CHECKPOINTS = Path(__file__).resolve().parents[1] / "docs" / "checkpoints.md"
PART = re.compile(r"(<!-- families -->\n).*?(<!-- end of families -->\n)", re.DOTALL)

if __name__ == "__main__":
    text, count = PART.subn(lambda part: part[1] + families_table() + part[2], CHECKPOINTS.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{CHECKPOINTS} should have one part between <!-- families --> and <!-- end of families -->.")
    CHECKPOINTS.write_text(text, encoding="utf-8")
