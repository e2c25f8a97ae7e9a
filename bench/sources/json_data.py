"""Write the orders as JSON lines, unless they are there, and the project that reads them."""

import sys
from pathlib import Path

from world import line, objects, project

data, rows = Path(sys.argv[1]), int(sys.argv[2])
path = data / "rows.jsonl"
if not path.exists():
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.writelines(map(line, objects(rows)))
    draft.rename(path)
project(data / "json", "path: feeds/rows.jsonl\nformat: ndjson\nkey: id\n")
(data / "json" / "feeds").mkdir()
(data / "json" / "feeds" / "rows.jsonl").hardlink_to(path)
