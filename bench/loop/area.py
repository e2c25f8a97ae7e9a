"""The loop: planning, contracts, point-in-time training sets, the first value."""

from __future__ import annotations

from pathlib import Path

from bench.cases import Area, Case, Figure, Side


def script(name: str, *words: str) -> tuple[str, ...]:
    """Return the command of a script beside this file."""
    return ("python", f"{{here}}/{name}.py", *words)


def costs(
    wall: str | None = None, peak: str | None = None, peers: tuple[str, ...] | None = None
) -> tuple[Figure, ...]:
    """Return what every whole process costs, with the goals for two of the three."""
    return (
        Figure("wall", "wall", "s", wall, peers=peers),
        Figure("cpu", "CPU", "s", peers=peers),
        Figure("peak", "peak memory", "MB", peak, peers=peers),
    )


PLAN = Case(
    "plan",
    "Nothing is left to do in a project of 20 nodes (6 sources, 9 tables, 2 features, an outcome, "
    "a model, a service); DVC has as many stages over files of the same size.",
    (
        Side("lichen", ("lichen", "plan", "-C", "{data}/20", "--now", "2026-01-18")),
        Side("dvc repro", ("dvc", "repro", "--quiet"), "dvc", folder="{data}/dvc", shows="dvc"),
        Side("dvc status", ("dvc", "status", "--quiet"), "dvc", folder="{data}/dvc", shows="dvc"),
    ),
    costs(wall="value ≤ .35"),
    setup=(
        Side("lichen", script("plan_project", "{data}/20", "20")),
        Side("dvc", script("plan_dvc", "{data}/dvc", "20"), "dvc"),
    ),
    warmup=1,
    repeat=7,
)
PLANNER = Case(
    "planner",
    "The planner alone, a pure function, on the same project of 20 nodes.",
    (Side("lichen", script("plan_pure", "{data}/../plan/20")),),
    (Figure("seconds", "one call", "ms", "value ≤ 5", scale=1000),),
    setup=(Side("lichen", script("plan_project", "{data}/../plan/20", "20")),),
    warmup=1,
    repeat=5,
)
PLAN_LARGE = Case(
    "plan-large",
    "Nothing is left to do in a project of 1,000 nodes: the whole command.",
    (Side("lichen", ("lichen", "plan", "-C", "{data}/1000", "--now", "2026-01-18")),),
    costs(wall="value ≤ 1"),
    setup=(Side("lichen", script("plan_project", "{data}/1000", "1000")),),
    warmup=1,
    repeat=5,
)
CONTRACT = Case(
    "contract",
    "14 rules on 10M rows in one Parquet file; all sides count the same rows that break them. "
    "Lichen runs the scan that `run` compiles from the contract. `read` is DuckDB reading every "
    "value of the file once.",
    (
        Side("lichen", script("contract_lichen", "{data}")),
        Side("pandera", script("contract_pandera", "{data}"), "pandera"),
        Side("pointblank", script("contract_pointblank", "{data}", "lazy"), "pointblank"),
        Side("read", script("contract_read", "{data}"), "pointblank", shows="duckdb"),
    ),
    (
        *costs(wall="ratio ≤ 1", peak="ratio ≤ .5", peers=("pandera", "pointblank")),
        *costs(peers=("read",)),
    ),
    setup=(Side("lichen", script("contract_data", "{data}")),),
    same=("broken",),
    warmup=1,
    repeat=3,
)
PIT_EVENT = Case(
    "point-in-time",
    "1M questions, 5 feature tables of 2M rows, 20,000 entities; each row is known when it happens "
    "and never corrected. Lichen answers as for any table; the peer is five join_asof by hand.",
    (
        Side("lichen", script("pit_lichen", "{data}")),
        Side("polars", script("pit_polars", "{data}"), "polars"),
    ),
    costs(wall="ratio ≤ 1.5"),
    setup=(Side("lichen", script("pit_data", "{data}", "1000000", "2000000", "event")),),
    same=("rows", "sum"),
    warmup=1,
    repeat=3,
)
PIT_KNOWN = Case(
    "point-in-time-known",
    "The same size, as known at the question: rows are known late, and one in ten is corrected. "
    "Feast asks its DuckDB store, "
    "the faster of its two local ones, with filter_by_created_timestamp.",
    (
        Side("lichen", script("pit_lichen", "{data}")),
        Side("feast", script("pit_feast", "{data}", "duckdb"), "feast", once=True),
    ),
    costs(wall="ratio ≤ .05"),
    setup=(Side("lichen", script("pit_data", "{data}", "1000000", "2000000", "late")),),
    same=("rows", "sum"),
    warmup=1,
    repeat=3,
)
FIRST = Case(
    "first-value",
    "From a fresh environment and a CSV file to the first prediction over HTTP, each by its own "
    "tutorial; downloads included, nothing cached.",
    (
        Side("lichen", script("first_value", "{data}", "lichen")),
        Side("sqlmesh + mlflow", script("first_value", "{data}", "peers"), shows="-"),
    ),
    (
        Figure("commands", "commands typed", "commands"),
        Figure("lines", "lines written by hand", "lines"),
        Figure("total", "until the first prediction", "s"),
        Figure("install", "of which installing", "s"),
        Figure("work", "of which work", "s"),
        Figure("mb", "installed", "MB"),
    ),
    warmup=0,
    repeat=1,
)
AREA = Area(
    "loop",
    Path(__file__).parent,
    (PLAN, PLANNER, PLAN_LARGE, CONTRACT, PIT_EVENT, PIT_KNOWN, FIRST),
)
