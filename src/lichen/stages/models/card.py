"""The model card: measured facts as `report.json`, and the same facts to read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lichen.stages.models.evaluate import Bin, Slice
from lichen.stages.models.interval import Measured
from lichen.stages.models.metric import METRICS, Task

RARE = 10  # a class with fewer rows in the holdout is hardly judged


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one part, and how many of each named class. Times are ISO 8601, or None.

    For a yes/no label `mean` is the base rate, for several classes the share of the commonest one.
    """

    rows: int
    mean: float
    begin: str | None = None
    end: str | None = None
    classes: dict[str, int] = {}


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate: its validation score (None if no trial succeeded), trials and seconds."""

    name: str
    score: float | None
    trials: int
    seconds: float
    settings: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the card says; `metrics` were measured on the holdout."""

    model: str
    target: str
    task: Task
    metric: str
    family: str
    trained_at: str
    cutoff: str | None
    training: Part
    holdout: Part
    left_out: dict[str, int]
    fitted_rows: int
    seconds: float
    metrics: dict[str, Measured]
    baseline: dict[str, float | None]
    plain: dict[str, Measured]
    candidates: tuple[Tried, ...] = ()
    untried: dict[str, str] = {}
    slices: tuple[Slice, ...] = ()
    calibration: str | None = None
    reliability: tuple[Bin, ...] = ()
    importance: dict[str, float] = {}
    ignored: dict[str, str] = {}
    read_rows: int = 0
    read_digest: str = ""
    seed: int = 0
    versions: dict[str, str] = {}
    classes: tuple[str | int, ...] = ()


def encoded(report: Report) -> bytes:
    """Return `report.json`; its keys are stable: metrics.NAME.value, .low and .high."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def decoded(content: bytes) -> Report:
    """Return the report that `encoded` wrote."""
    return msgspec.json.decode(content, type=Report)


def card(report: Report) -> str:
    """Return the card as Markdown."""
    sections = (
        _opening,
        _data,
        _metrics,
        _candidates,
        _calibration,
        _slices,
        _features,
        _limits,
        _versions,
    )
    return "\n".join(line for section in sections for line in section(report)) + "\n"


def limits(report: Report) -> list[str]:
    """Return what this model is known not to do well: only what was measured."""
    found = (_against_others, _uncertainty, _rare_classes, _weak_slices)
    return [text for each in found for text in each(report)]


def _opening(report: Report) -> Iterator[str]:
    yield f"# {report.model}\n"
    yield f"Predicts {_asked(report)}. Family: {report.family}."
    yield f"Trained {report.trained_at}; chosen by `{report.metric}`.\n"


def _asked(report: Report) -> str:
    if report.task is Task.regression:
        return f"the value of `{report.target}`"
    if report.task is Task.multiclass:
        return f"which of {len(report.classes)} classes `{report.target}` is"
    if report.classes:
        no, yes = report.classes
        return f"the probability that `{report.target}` is `{yes}` and not `{no}`"
    return f"the probability that `{report.target}` is true"


_MEANS = {
    Task.binary: "base rate", Task.multiclass: "commonest class", Task.regression: "mean",
}  # fmt: skip


def _data(report: Report) -> Iterator[str]:
    mean = _MEANS[report.task]
    yield "## Data\n"
    yield f"| part | rows | {mean} | from | to |\n|---|---:|---:|---|---|"
    for name, part in (("training", report.training), ("holdout", report.holdout)):
        span = f"{part.begin or '–'} | {part.end or '–'}"
        yield f"| {name} | {part.rows:,} | {part.mean:.4g} | {span} |"
    cutoff = f"Labels used in training were known by {report.cutoff}. " if report.cutoff else ""
    left = ", ".join(f"{count:,} {why}" for why, count in report.left_out.items() if count)
    yield f"\n{cutoff}Left out: {left or 'nothing'}. Final fit on {report.fitted_rows:,} rows."
    yield f"Read in training: {report.read_rows:,} keys, SHA-256 `{report.read_digest[:16]}`.\n"
    if report.classes:
        yield "| class | training | holdout |\n|---|---:|---:|"
        for name in map(str, report.classes):
            counts = (part.classes.get(name, 0) for part in (report.training, report.holdout))
            yield f"| {name.replace('|', '/')} | {' | '.join(f'{count:,}' for count in counts)} |"
        yield ""


def _metrics(report: Report) -> Iterator[str]:
    values = report.task is Task.regression
    line = "plain ridge regression" if values else "plain logistic regression"
    constants = {Task.binary: "base rate", Task.multiclass: "class shares"}
    constant = constants.get(report.task, "training mean")
    yield "## Metrics on the holdout\n"
    yield f"| metric | better | value | 95 % interval | {constant} | {line} |"
    yield "|---|---|---:|---|---:|---:|"
    for name, found in report.metrics.items():
        better = "higher" if METRICS[name].higher_is_better else "lower"
        plain = report.plain.get(name)
        yield (
            f"| {name} | {better} | {_number(found.value)} | {_interval(found)} "
            f"| {_number(report.baseline.get(name))} | {_number(plain.value if plain else None)} |"
        )
    yield ""


def _candidates(report: Report) -> Iterator[str]:
    if not report.candidates:
        return
    yield "## Candidates\n"
    yield f"| candidate | {report.metric} in validation | trials | seconds |\n|---|---:|---:|---:|"
    for tried in report.candidates:
        yield (f"| {tried.name} | {_number(tried.score)} | {tried.trials} | {tried.seconds:.1f} |")
    for name, lack in report.untried.items():
        yield f"\nNot tried: {name} ({lack})."
    yield ""


def _calibration(report: Report) -> Iterator[str]:
    if not report.reliability:
        return
    yield "## Calibration\n"
    yield f"Method: {report.calibration or 'none (it did not help on later rows)'}.\n"
    yield "| rows | predicted | observed |\n|---:|---:|---:|"
    for found in report.reliability:
        yield f"| {found.rows:,} | {found.predicted:.3f} | {found.observed:.3f} |"
    yield ""


def _slices(report: Report) -> Iterator[str]:
    if not report.slices:
        return
    yield f"## Slices\n\n| column | value | rows | {report.metric} |\n|---|---|---:|---:|"
    for found in report.slices:
        value = "(all others)" if found.value is None else found.value.replace("|", "\\|")
        yield f"| {found.column} | {value} | {found.rows:,} | {_number(found.metric)} |"
    yield ""


def _features(report: Report) -> Iterator[str]:
    if report.importance:
        yield f"## Features\n\n| column | loss of {report.metric} when shuffled |\n|---|---:|"
        yield from (f"| {name} | {fall:+.4f} |" for name, fall in report.importance.items())
        yield ""
    if report.ignored:
        yield (
            "Not used: " + "; ".join(f"`{n}` ({why})" for n, why in report.ignored.items()) + ".\n"
        )


def _limits(report: Report) -> Iterator[str]:
    yield "## Known limits\n"
    yield from (f"- {text}" for text in limits(report) or ["None was measured."])
    yield ""


def _versions(report: Report) -> Iterator[str]:
    yield "## Versions\n"
    yield ", ".join(f"{name} {number}" for name, number in report.versions.items())
    yield f"Seed {report.seed}; {report.seconds:.1f} seconds."


def _against_others(report: Report) -> Iterator[str]:
    metric, found = METRICS[report.metric], report.metrics[report.metric]
    constant, plain = report.baseline.get(report.metric), report.plain.get(report.metric)
    if found.value is None:
        yield f"{metric.name} is undefined on this holdout."
        return
    if constant is not None and metric.gain(found.value, constant) <= 0:
        yield f"It is no better than the constant answer ({found.value:.4f}, {constant:.4f})."
    if plain and plain.value is not None and metric.gain(found.value, plain.value) <= 0:
        yield f"It is no better than a plain line ({found.value:.4f}, {plain.value:.4f})."


def _uncertainty(report: Report) -> Iterator[str]:
    found, constant = report.metrics[report.metric], report.baseline.get(report.metric)
    if found.value is not None and found.low is None:
        yield "The holdout has too few independent groups for an interval."
    elif constant is not None and (found.low or 0.0) <= constant <= (found.high or 0.0):
        yield "The interval holds the constant answer: the difference may be chance."
    if report.task is Task.binary and abs(report.holdout.mean - report.training.mean) > 0.02:
        yield (
            f"The base rate moved from {report.training.mean:.3f} in training "
            f"to {report.holdout.mean:.3f} in the holdout."
        )


def _rare_classes(report: Report) -> Iterator[str]:
    counts = report.holdout.classes
    if rare := [name for name, count in counts.items() if count < RARE]:
        listed = ", ".join(f"{name} ({counts[name]:,})" for name in rare[:10])
        more = f" and {len(rare) - 10} more" if len(rare) > 10 else ""
        yield f"Classes with fewer than {RARE} rows in the holdout, hardly judged: {listed}{more}."


def _weak_slices(report: Report) -> Iterator[str]:
    metric, whole = METRICS[report.metric], report.metrics[report.metric]
    if whole.low is None or whole.high is None:
        return
    edge = whole.low if metric.higher_is_better else whole.high
    for found in report.slices:
        if found.metric is not None and metric.gain(found.metric, edge) < 0:
            yield (
                f"{found.column} = {found.value or '(all others)'}: {metric.name} "
                f"{found.metric:.4f} on {found.rows:,} rows, outside the overall interval."
            )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _interval(found: Measured) -> str:
    return "–" if found.low is None else f"[{_number(found.low)}, {_number(found.high)}]"
