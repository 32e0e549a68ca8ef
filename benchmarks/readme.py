"""Write the committed results into the benchmarks' README and the page on use, each between its two marks."""

from __future__ import annotations

import json
import re
from pathlib import Path

from shared.summary import summary
from shared.tables import tables

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
USING = HERE.parent / "docs/using.md"
NOT_MEASURED = "Not measured yet.\n"


def results() -> dict[str, dict]:
    """Every committed result by its name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (HERE / "results").glob("*.json")}


def with_tables(text: str) -> str:
    """``text`` with the tables of NAME's result between `<!-- NAME -->` and `<!-- end -->`."""
    found = results()

    def fill(match: re.Match) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{tables(found[name]) if name in found else NOT_MEASURED}<!-- end -->"

    return re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", fill, text, flags=re.S)


def with_summary(text: str) -> str:
    """``text`` with the figures that matter to a user between `<!-- measured:begin -->` and `<!-- measured:end -->`."""
    begin, end = "<!-- measured:begin -->\n", "<!-- measured:end -->"
    before, _, rest = text.partition(begin)
    return before + begin + summary(results()) + end + rest.partition(end)[2]


def main():
    """Fill both."""
    for path, fill in ((README, with_tables), (USING, with_summary)):
        path.write_text(fill(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
