"""Write the tables of the committed results into README.md, each between its two marks."""

import json
import re
from pathlib import Path

from tables import tables

HERE = Path(__file__).resolve().parent
NOT_MEASURED = "not measured yet"


def main():
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->` by the tables of results/NAME.json."""

    def fill(match: re.Match) -> str:
        path = HERE / "results" / f"{match.group(1)}.json"
        text = tables(json.loads(path.read_text("utf-8"))) if path.is_file() else NOT_MEASURED + "\n"
        return f"<!-- {match.group(1)} -->\n{text}<!-- end -->"

    readme = HERE / "README.md"
    text = re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", fill, readme.read_text("utf-8"), flags=re.S)
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
