"""Running a user's Python: its file is imported anew, and an error names the user's own line."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from lichen.core.errors import LichenError, Where

# Where Python looks for modules, and those that it knows, belong to the whole process: the user's
# functions run one at a time.
_ALONE = threading.Lock()


def call(
    path: Path,
    function: str,
    root: Path,
    arguments: Sequence[Any],
    *,
    what: str,
    error: type[LichenError],
    hint: str,
) -> Any:
    """Import a file of the project below `root` and call its function; returns what that gives.

    Project modules that it imports are read anew too. Raises `error` for whatever the user's code
    raises, with the last of the user's own lines that it passed through.
    """
    spec = importlib.util.spec_from_file_location(f"lichen_node_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise error("this file cannot be run as Python", where=Where(path))
    module = importlib.util.module_from_spec(spec)
    with _ALONE, _importing_from(root):
        try:
            spec.loader.exec_module(module)
            return getattr(module, function)(*arguments)
        except LichenError as wrong:
            raise error(
                f"{what} did not finish: {wrong.what}",
                where=blamed(wrong, root, path),
                allowed=wrong.allowed,
                given=wrong.given,
                hint=wrong.hint,
            ) from wrong
        except Exception as wrong:
            raise error(
                f"{what} did not finish: {type(wrong).__name__}: {wrong}",
                where=blamed(wrong, root, path),
                hint=hint,
            ) from wrong


def blamed(error: BaseException, root: Path, path: Path) -> Where:
    """Return the last place in the project that an error passed through, or else `path`."""
    if isinstance(error, SyntaxError) and error.filename and _inside(Path(error.filename), root):
        return Where(Path(error.filename), error.lineno or 0)
    places = [(f, n) for f, n in _passed(error.__traceback__) if _inside(f, root)]
    return Where(*places[-1]) if places else Where(path)


def _passed(trace: TracebackType | None) -> Iterator[tuple[Path, int]]:
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next


def _inside(path: Path, root: Path) -> bool:
    """Whether a file is the user's own: no part of a Python that lies below the project."""
    return path.is_relative_to(root) and not any(path.is_relative_to(p) for p in _PYTHONS)


_PYTHONS = (sys.prefix, sys.base_prefix)


@contextmanager
def _importing_from(root: Path) -> Iterator[None]:
    """Let imports find the project's modules, and forget these afterwards; leave no bytecode."""
    before, wrote = dict(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote
        sys.path.remove(str(root))
        for name in sys.modules.keys() - before.keys():
            file = getattr(sys.modules[name], "__file__", None)
            folders = list(getattr(sys.modules[name], "__path__", ()))  # without __init__.py
            if any(_inside(Path(p), root) for p in ([file] if file else folders)):
                del sys.modules[name]
