"""Load the orders with dlt's Arrow path into Delta files; prints the rows."""

import json
import shutil
import sys
from pathlib import Path

import dlt
from dlt.sources.sql_database import sql_table

access, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
shutil.rmtree(folder, ignore_errors=True)
url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**access)
table = sql_table(
    credentials=url, table="orders", schema="public", backend="connectorx",
    backend_kwargs={"return_type": "arrow"},
)  # fmt: skip
pipeline = dlt.pipeline(
    "bench", pipelines_dir=str(folder / "state"), dataset_name="bench",
    destination=dlt.destinations.filesystem(bucket_url=(folder / "lake").absolute().as_uri()),
)  # fmt: skip
pipeline.run(table, table_format="delta", loader_file_format="parquet")
print(json.dumps({"rows": pipeline.last_trace.last_normalize_info.row_counts["orders"]}))
