"""`lichen doctor`: find and mend what a crash or a power cut left."""

from __future__ import annotations

from lichen.cli.options import USUAL, Options
from lichen.cli.page import counted, emit


def doctor(*, options: Options = USUAL) -> int:
    """Examine every table of the target, and mend what a crash or a power cut left.

    Only what was never acknowledged is touched, and it is put aside, not deleted: into `.lost` in
    the lake. Ends with 1 where something is broken that cannot be mended.

    --json: {"tables", "mended": [finding, …], "broken": [finding, …], "swept", "open": [node, …]}
    """
    from lichen.core.findings import as_json
    from lichen.doctor import doctor as examine

    found = examine(options.open())
    if options.json:
        emit(
            {
                "tables": found.tables,
                "mended": [as_json(finding) for finding in found.mended],
                "broken": [as_json(finding) for finding in found.broken],
                "swept": found.swept,
                "open": list(found.open),
            }
        )
        return 1 if found.broken else 0
    for head, findings in (("mended", found.mended), ("broken", found.broken)):
        if findings:
            print(head)
        for finding in findings:
            print(f"  {finding.node}  {finding.message}")
    print(f"{counted(found.tables, 'table')} examined", end="")
    print(f", {counted(found.swept, 'stray file')} removed" if found.swept else "", end="")
    print("" if found.broken else ": all is well")
    if found.open:
        print(f"the next run concludes what a dead one began: {', '.join(found.open)}")
    return 1 if found.broken else 0
