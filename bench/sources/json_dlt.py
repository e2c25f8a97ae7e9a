"""Load JSON lines with dlt as objects into Delta files; prints the rows."""

import json
import shutil
import sys
from itertools import islice
from pathlib import Path

import dlt
import orjson

path, folder = Path(sys.argv[1]), Path(sys.argv[2])
shutil.rmtree(folder, ignore_errors=True)


@dlt.resource(name="orders", table_format="delta")
def orders():
    with path.open("rb") as file:
        while some := list(islice(file, 10_000)):
            yield [orjson.loads(line) for line in some]


pipeline = dlt.pipeline(
    "bench", pipelines_dir=str(folder / "state"), dataset_name="bench",
    destination=dlt.destinations.filesystem(bucket_url=(folder / "lake").absolute().as_uri()),
)  # fmt: skip
pipeline.run(orders(), loader_file_format="parquet")
print(json.dumps({"rows": pipeline.last_trace.last_normalize_info.row_counts["orders"]}))
