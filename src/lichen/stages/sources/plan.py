"""What of a source is to be landed: which files, or how much of a stream. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lichen.core.steps import Land, Replay, Request, Seen, said
from lichen.ports.facts import Facts, Upcoming
from lichen.ports.ledger import Record


def plan_source(
    node: str,
    fingerprint: str,
    rules: str,
    policy: str | None,
    again: str | None,
    facts: Facts,
    so_far: Upcoming,
) -> None:
    """Add a Land step where something came or changed, or where the definition did.

    `policy` is what to do about drift. `again` says why a source is read though nothing changed:
    the files with rows in the time that was asked for, or all of it. A source that could not be
    looked at gets a step that fails.
    """
    done = facts.done(node)
    so_far.leaves[node] = dict(done.facts["leaves"]) if done else {}
    following = _following if node in facts.marks else _step
    step = _unlisted(node, fingerprint, rules, facts) or following(
        node, fingerprint, rules, again, facts
    )
    if step is not None:
        step = _numbered(msgspec.structs.replace(step, policy=policy), facts)
    if step is None or facts.stuck(step, again=again is not None):
        return
    so_far.steps[node] = step
    so_far.leaves[node] = {node: step.sequence}


def _unlisted(node: str, fingerprint: str, rules: str, facts: Facts) -> Land | None:
    error = facts.trouble.get(node)
    if error is None:
        return None
    reason = f"it could not be looked at: {error.partition(chr(10))[0]}"
    return Land(
        node=node, reason=reason, sequence=0, fingerprint=fingerprint, rules=rules, unlisted=error
    )


def _step(node: str, fingerprint: str, rules: str, again: str | None, facts: Facts) -> Land | None:
    done, seen = facts.done(node), facts.files.get(node, ())
    landed = facts.state.files.get(node, {})
    new = tuple(f for f in seen if f.path not in landed)
    changed = tuple(f for f in seen if f.path in landed and f.sha256 != landed[f.path].sha256)
    rest = tuple(f for f in seen if f not in {*new, *changed})
    requests = facts.asked(node) if done is not None else ()
    altered = done is not None and done.body["fingerprint"] != fingerprint
    full = done is not None and again is not None and node not in facts.within
    replace = altered or full
    new_rules = done is not None and done.body["rules"] != rules and not replace
    asked = tuple(f for f in rest if again is not None and f.path in facts.within.get(node, ()))
    read = {*asked, *_torn(done, rest, requests)}
    reasons = ["its definition changed"] if altered else []
    reasons += [again] if again is not None and (full or asked) else []
    reasons += [
        f"{len(files)} {what} {'file' if len(files) == 1 else 'files'}"
        for files, what in ((new, "new"), (changed, "changed"), (asked, "old"))
        if files
    ]
    if _mended(node, facts) and not reasons and not requests:
        reasons.append("it can be looked at again")
    if new_rules:
        reasons.append("its contract's rules changed: what is there is judged again")
    reasons += map(said, requests)
    if not reasons:
        return None
    return Land(
        node=node,
        reason=", ".join(reasons),
        sequence=0,
        fingerprint=fingerprint,
        rules=rules,
        new=new,
        changed=changed,
        again=rest if replace else tuple(f for f in rest if f in read),
        lost=_lost(seen, landed) if replace else (),
        replace=replace,
        rejudge=not replace and (new_rules or any(isinstance(r, Replay) for r in requests)),
        requests=requests,
    )


def _following(
    node: str, fingerprint: str, rules: str, again: str | None, facts: Facts
) -> Land | None:
    """Return the step that reads a stream on, up to the mark that was seen."""
    done, mark = facts.done(node), facts.marks[node]
    requests = facts.asked(node) if done is not None else ()
    altered = done is not None and done.body["fingerprint"] != fingerprint
    full = done is not None and again is not None and node not in facts.within
    replace = altered or full
    new_rules = done is not None and done.body["rules"] != rules and not replace
    reached = done.facts.get("reached") if done is not None else None
    reasons = ["its definition changed"] if altered else []
    reasons += [again] if again is not None and full else []
    if mark.until not in (reached, facts.idle.get(node)) and not replace:
        reasons.append(mark.said)
    if _mended(node, facts) and not reasons and not requests:
        reasons.append("it can be looked at again")
    if new_rules:
        reasons.append("its contract's rules changed: what is there is judged again")
    reasons += map(said, requests)
    if not reasons:
        return None
    return Land(
        node=node,
        reason=", ".join(reasons),
        sequence=0,
        fingerprint=fingerprint,
        rules=rules,
        since=done.facts.get("cursor") if done is not None and not replace else None,
        mark=mark,
        replace=replace,
        rejudge=not replace and (new_rules or any(isinstance(r, Replay) for r in requests)),
        requests=requests,
    )


def _numbered(step: Land, facts: Facts) -> Land:
    """Give the step its number; one that reads a stream never takes that of an attempt that died.

    The same piece of a stream may be cut another way: what an attempt left under its number is not
    what this one is about to commit.
    """
    step = facts.numbered(step)
    tried = facts.state.tried.get(step.node)
    if step.mark is None or tried is None:
        return step
    return msgspec.structs.replace(step, sequence=max(step.sequence, tried.sequence + 1))


def _mended(node: str, facts: Facts) -> bool:
    """Whether the last attempt could not even look at it: from now on all is well again."""
    tried = facts.state.tried.get(node)
    listed_before = tried is None or not tried.body.get("unlisted")
    return facts.done(node) is not None and not listed_before


def _torn(
    done: Record | None, files: Sequence[Seen], requests: Sequence[Request]
) -> tuple[Seen, ...]:
    """The files of which records did not parse, where it was asked to try them again."""
    if done is None or not any(isinstance(request, Replay) for request in requests):
        return ()
    return tuple(f for f in files if f.path in done.facts.get("torn", ()))


def _lost(seen: Sequence[Seen], landed: Mapping[str, Seen]) -> tuple[str, ...]:
    there = {f.path for f in seen} | {f.sha256 for f in seen}
    gone = (f.path for f in landed.values() if not {f.path, f.sha256} & there)
    return tuple(sorted(gone))
