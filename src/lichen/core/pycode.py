"""Fingerprints of Python nodes: what the code says, and which distributions it stands on."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path

from lichen.core.decorated import called
from lichen.core.digest import digest
from lichen.core.errors import ProjectError, Where


def code_fingerprint(path: Path, root: Path, *, undecorated: tuple[str, ...] = ()) -> str:
    """Return the fingerprint of a module and of the project modules that it imports.

    Docstrings and formatting do not count; the versions of imported distributions do. It may
    change too often, never too rarely. Decorators called one of `undecorated` do not count either:
    their settings are read by themselves.
    """
    seen, outside = _followed(path, root, undecorated)
    code = [f"{p.relative_to(root)}:{text}" for p, text in sorted(seen.items())]
    return digest(*code, *_versions(outside))


def modules_of(path: Path, root: Path) -> tuple[Path, ...]:
    """Return a module's file and those of the project's modules that it imports, all the way."""
    return tuple(sorted(_followed(path, root, ())[0]))


def _followed(
    path: Path, root: Path, undecorated: tuple[str, ...]
) -> tuple[dict[Path, str], set[str]]:
    """Return what the project's modules that one leads to say, and what else is imported."""
    seen: dict[Path, str] = {}
    outside: set[str] = set()
    todo = [path]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        stat = module.stat()
        seen[module], imports = _said(module, undecorated, (stat.st_mtime_ns, stat.st_size))
        for imported in imports:
            found = _project_file(imported, module, root)
            if found is not None:
                todo.append(found)
            else:
                outside.add(imported.split(".")[0])
    return seen, outside


@lru_cache(maxsize=1_000)
def _said(
    module: Path,
    undecorated: tuple[str, ...],
    as_of: tuple[int, int],  # noqa: ARG001 - when to read it again
) -> tuple[str, frozenset[str]]:
    """What the code of one file says, and the modules that it imports."""
    try:
        tree = ast.parse(module.read_text("utf-8"), filename=str(module))
    except SyntaxError as error:
        where = Where(module, error.lineno or 0)
        raise ProjectError(f"this Python does not read: {error.msg}", where=where) from error
    return ast.dump(_bare(tree, undecorated)), frozenset(_imports(tree))


def _bare(tree: ast.Module, undecorated: tuple[str, ...]) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = [d for d in node.decorator_list if called(d) not in undecorated]
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body:
            continue
        first = body[0]
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            node.body = body[1:] or [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def _project_file(name: str, module: Path, root: Path) -> Path | None:
    bases = [module.parent] if name.startswith(".") else [root, module.parent]
    parts = [part for part in name.split(".") if part]
    for base in bases:
        candidate = base.joinpath(*parts)
        for path in (candidate.with_suffix(".py"), candidate / "__init__.py"):
            if parts and path.is_file() and path.is_relative_to(root):
                return path
    return None


def _versions(modules: set[str]) -> list[str]:
    from importlib import metadata

    outside = (m for m in modules if m and m not in sys.stdlib_module_names)
    names = {name for module in outside for name in _owners(module)}
    return sorted(f"{name}=={metadata.version(name)}" for name in names)


def _owners(module: str) -> Sequence[str]:
    """Return the distributions that a module comes from.

    Asking for them all reads the file list of everything that is installed, so a distribution of
    the module's own name is asked first, and believed if it holds the module.
    """
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        files = metadata.distribution(module).files or []
        tops = {file.parts[0] for file in files}
        if {module, f"{module}.py", f"_{module}.pth", f"_editable_impl_{module}.pth"} & tops:
            return (module,)
    return _all_owners().get(module, ())


@cache
def _all_owners() -> Mapping[str, Sequence[str]]:
    from importlib import metadata

    return metadata.packages_distributions()
