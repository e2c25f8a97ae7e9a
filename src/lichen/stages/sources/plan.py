"""Which files of a source are to be landed. Pure."""

from __future__ import annotations

from lichen.core.steps import Land
from lichen.ports.facts import Facts, Upcoming
from lichen.stages.sources.spec import Source


def plan_source(
    source: Source, fingerprint: str, rules: str, facts: Facts, so_far: Upcoming
) -> None:
    """Add a Land step where files came or changed, or where the definition did."""
    node = str(source.name)
    done = facts.done(node)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    step = _step(source, fingerprint, rules, facts)
    if step is None or facts.stuck(step):
        return
    so_far.steps[node] = step
    so_far.leaves[node] = {node: step.sequence}


def _step(source: Source, fingerprint: str, rules: str, facts: Facts) -> Land | None:
    node = str(source.name)
    done, seen = facts.done(node), facts.files.get(node, ())
    landed = facts.state.files.get(node, {})
    new = tuple(f for f in seen if f.path not in landed)
    changed = tuple(f for f in seen if f.path in landed and f.sha256 != landed[f.path].sha256)
    reasons = [
        f"{len(files)} {what} {'file' if len(files) == 1 else 'files'}"
        for files, what in ((new, "new"), (changed, "changed"))
        if files
    ]
    replace = done is not None and done.body["fingerprint"] != fingerprint
    if replace:
        reasons, new, changed = ["its definition changed"], seen, ()
    elif done is not None and done.body["rules"] != rules:
        reasons.append("its contract's rules changed: what is there is judged again")
    if not reasons:
        return None
    step = Land(
        node=node,
        reason=", ".join(reasons),
        sequence=0,
        fingerprint=fingerprint,
        rules=rules,
        new=new,
        changed=changed,
        replace=replace,
    )
    return facts.numbered(step)
