"""Keeping what a trial found: it becomes the model's definition, and the project trains that."""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lichen.core.errors import ModelError, Where
from lichen.core.steps import Done, Promote, Train
from lichen.notebook.markup import page, tag
from lichen.notebook.source import Source, source_of
from lichen.stages.models.spec import Model
from lichen.stages.services.spec import Service

if TYPE_CHECKING:
    from lichen.loop import Event
    from lichen.notebook.training import TrainingSet
    from lichen.notebook.workspace import Workspace


@dataclass(frozen=True)
class Kept:
    """What became of a kept trial: the change to the model's file, and the run that trained it.

    `version` is the version of the model that is published now; `events` are the steps of the
    run, and `diff` is what changed in the file ("" where it said the same before).
    """

    model: str
    path: Path
    diff: str
    version: int
    events: tuple[Event, ...] = field(repr=False)

    @property
    def gate(self) -> tuple[str, ...]:
        """Return what the gate of each service said."""
        results = (e.result for e in self.events if isinstance(e.step, Promote))
        return tuple(str(r.facts["reason"]) for r in results if isinstance(r, Done))

    def __repr__(self) -> str:
        """Return it as text."""
        gate = "".join(f"\ngate: {reason}" for reason in self.gate)
        return f"{self.model}@{self.version} was trained from {self.path}{gate}\n{self.diff}"

    def _repr_html_(self) -> str:
        gate = [tag("div", f"gate: {reason}") for reason in self.gate]
        title = f"{self.model}@{self.version} was trained from {self.path}"
        return page(title, *gate, tag("pre", self.diff))


def keep(estimator: Any | None, rows: TrainingSet, project: Workspace) -> Kept:
    """Write an estimator into its model's file and train it; raises ModelError.

    None leaves the file as it is.

    Nothing is written where the file cannot be changed exactly as it is meant. The run's now is
    that of the project's last run or of the trial, whichever is later. A training that comes to
    nothing puts the file back.
    """
    model = rows.inquiry.model
    before = model.path.read_text("utf-8")
    project.refresh()
    _refuse_moved_on(rows, project)
    after = before
    if estimator is not None:
        after = rewritten(before, model, source_of_body(estimator, model))
    if after != before:
        model.path.write_text(after, "utf-8")
    served = [s.name for s in project.project.of(Service) if s.model == model.name]
    now = max(rows.now, project.state().clock or rows.now)
    try:
        events = project.run(*map(str, (model.name, *served)), now=now)
        _refuse_failure(events, model)
    except Exception:
        model.path.write_text(before, "utf-8")
        raise
    path = model.path.relative_to(project.project.root)
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    changed = "".join(difflib.unified_diff(*lines, f"{path}, before", f"{path}"))
    version = project.published()[str(model.name)].sequence
    return Kept(str(model.name), path, changed, version, events)


def source_of_body(estimator: Any, model: Model) -> Source:
    """Return the estimator's source; an error says where to write it by hand."""
    try:
        return source_of(estimator, indent=4, before=len("return "))
    except ModelError as error:
        raise ModelError(
            error.what,
            where=model.where,
            allowed=error.allowed,
            hint=f"paste the lines that make it into the function {model.function}() of "
            f"{model.path.name}, end it with `return` and what they make, then run the project",
        ) from error


def rewritten(text: str, model: Model, source: Source) -> str:
    """Return the model's file with the body of its function replaced by `return EXPRESSION`.

    Its docstring and its decorator stay, with everything outside the function. Imports that are
    needed are added after the last one, and those that only the old body used are taken out.
    """
    function = _function(ast.parse(text), model)
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    lines = text.splitlines(keepends=True)
    indent = " " * (function.col_offset + 4)
    returned = f"{indent}return {source.expression}\n"
    first = body[0].lineno if body else (function.end_lineno or function.lineno) + 1
    if body and first == function.lineno:
        raise ModelError(
            f"the function {model.function}() stands on one line",
            where=Where(model.path, first),
            hint="write its body on a line of its own",
        )
    last = (function.end_lineno or first) if body else first - 1
    changed = "".join([*lines[: first - 1], returned, *lines[last:]])
    return _imported(_without_unused(text, changed), source, model)


def _function(tree: ast.Module, model: Model) -> ast.FunctionDef:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == model.function:
            return node
    raise ModelError(f"the function {model.function}() is not there any more", where=model.where)


def _without_unused(before: str, after: str) -> str:
    """Take the imported names out that were used before and are not any more."""
    tree = ast.parse(after)
    gone = _used(ast.parse(before)) - _used(tree)
    lines = after.splitlines(keepends=True)
    for node in reversed(tree.body):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        left = [a for a in node.names if (a.asname or a.name.partition(".")[0]) not in gone]
        if len(left) == len(node.names):
            continue
        node.names = left
        spelled = [ast.unparse(node) + "\n"] if left else []
        lines[node.lineno - 1 : node.end_lineno] = spelled
    return "".join(lines)


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _imported(text: str, source: Source, model: Model) -> str:
    """Add the imports that the expression needs and the file lacks."""
    tree = ast.parse(text)
    there = dict(_bindings(tree))
    for name, module in source.imports.items():
        if there.get(name, module) != module:
            raise ModelError(
                f"{model.path.name} already means something else by {name}",
                where=model.where,
                hint=f"rename that, so that {name} can be imported from {module}",
            )
    lacking = Source("", {n: m for n, m in source.imports.items() if n not in there})
    if not lacking.imports:
        return text
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    documented = tree.body[:1] if ast.get_docstring(tree) is not None else []
    place = max((n.end_lineno or 0 for n in (*imports, *documented)), default=0)
    lines = text.splitlines(keepends=True)
    added = "".join(textwrap.fill(s, 10_000) + "\n" for s in lacking.statements())
    return "".join([*lines[:place], added, *lines[place:]])


def _bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what the names at the top of a file stand for: a module, or the file itself."""
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=module):
                yield from (
                    (a.asname or a.name, module if a.asname is None else "") for a in node.names
                )  # type: ignore[misc]
            case ast.Import():
                yield from ((a.asname or a.name.partition(".")[0], "") for a in node.names)
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name, ""
            case ast.Assign(targets=targets):
                yield from ((t.id, "") for t in targets if isinstance(t, ast.Name))


def _refuse_moved_on(rows: TrainingSet, project: Workspace) -> None:
    """Refuse a trial whose definition is not that of the files any more."""
    name = rows.inquiry.model.name
    now = project.project.prints[name].whole()
    if rows.lineage.definitions[str(name)] != now:
        raise ModelError(
            f"{name} was changed since this trial",
            where=rows.inquiry.model.where,
            hint="try it again, on what the files say now",
        )


def _refuse_failure(events: tuple[Event, ...], model: Model) -> None:
    for event in events:
        if isinstance(event.step, Train) and event.step.node == str(model.name):
            if isinstance(event.result, Done):
                return
            told = getattr(event.result, "error", None) or "it was blocked"
            raise ModelError(f"the training came to nothing: {told}", where=model.where)
