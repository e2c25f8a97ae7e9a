"""Which files of a source are to be landed. Pure."""

from __future__ import annotations

from lichen.core.steps import Land
from lichen.ports.facts import Facts, Upcoming


def plan_source(node: str, fingerprint: str, rules: str, facts: Facts, so_far: Upcoming) -> None:
    """Add a Land step where files came or changed, or where the definition did."""
    done = facts.done(node)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    step = _step(node, fingerprint, rules, facts)
    if step is None or facts.stuck(step):
        return
    so_far.steps[node] = step
    so_far.leaves[node] = {node: step.sequence}


def _step(node: str, fingerprint: str, rules: str, facts: Facts) -> Land | None:
    done, seen = facts.done(node), facts.files.get(node, ())
    landed = facts.state.files.get(node, {})
    new = tuple(f for f in seen if f.path not in landed)
    changed = tuple(f for f in seen if f.path in landed and f.sha256 != landed[f.path].sha256)
    replace = done is not None and done.body["fingerprint"] != fingerprint
    rejudge = done is not None and done.body["rules"] != rules and not replace
    reasons = ["its definition changed"] if replace else []
    reasons += [
        f"{len(files)} {what} {'file' if len(files) == 1 else 'files'}"
        for files, what in ((new, "new"), (changed, "changed"))
        if files
    ]
    if rejudge:
        reasons.append("its contract's rules changed: what is there is judged again")
    if not reasons:
        return None
    there = {f.path for f in seen} | {f.sha256 for f in seen}
    gone = (f.path for f in landed.values() if not {f.path, f.sha256} & there)
    step = Land(
        node=node,
        reason=", ".join(reasons),
        sequence=0,
        fingerprint=fingerprint,
        rules=rules,
        new=new,
        changed=changed,
        again=tuple(f for f in seen if f not in {*new, *changed}) if replace else (),
        lost=tuple(sorted(gone)) if replace else (),
        replace=replace,
        rejudge=rejudge,
    )
    return facts.numbered(step)
