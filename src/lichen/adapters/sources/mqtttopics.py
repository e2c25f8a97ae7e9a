"""Topic filters of MQTT: which are written rightly, and which two would bring a message twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from lichen.core.errors import SourceError

_SHARED = "$share/"
_LONGEST = 65_535  # bytes


def filters(topics: str | Sequence[str]) -> tuple[str, ...]:
    """Return the filters that a setting names; raises SourceError.

    >>> filters(["sensors/+/temperature", "$share/lichen/alarms/#"])
    ('sensors/+/temperature', '$share/lichen/alarms/#')
    """
    named = (topics,) if isinstance(topics, str) else tuple(topics)
    if not named:
        raise SourceError("topics: there is none", hint="name what to read, such as sensors/#")
    for topic in named:
        _check(topic)
    for one, other in combinations(named, 2):
        if meet(one, other):
            raise SourceError(
                f"topics: {one!r} and {other!r} have messages in common",
                hint="a broker may send such a message twice: keep the wider one",
            )
    return named


def meet(one: str, other: str) -> bool:
    """Return whether a message may fit both filters.

    >>> meet("a/+", "+/b"), meet("a/#", "a"), meet("a/+", "a/b/c"), meet("#", "$SYS/uptime")
    (True, True, False, False)
    """
    first, second = _bare(one).split("/"), _bare(other).split("/")
    wild = {first[0], second[0]} & {"+", "#"}
    if wild and (first[0].startswith("$") or second[0].startswith("$")):
        return False  # wildcards leave out what is a broker's own
    return _meet(first, second)


def _meet(one: Sequence[str], other: Sequence[str]) -> bool:
    if one[:1] == ["#"] or other[:1] == ["#"]:
        return True
    if not one or not other:
        return not one and not other
    same = one[0] == other[0] or "+" in (one[0], other[0])
    return same and _meet(one[1:], other[1:])


def _bare(topic: str) -> str:
    """Return what a shared subscription shares."""
    return topic.split("/", 2)[2] if topic.startswith(_SHARED) else topic


def _check(topic: str) -> None:
    why = _why_not(topic)
    if why is not None:
        raise SourceError(
            f"topics: {topic!r} is no topic filter: {why}",
            allowed=("a/b", "a/+/c (one level)", "a/# (all below)", "$share/GROUP/a/#"),
        )


def _why_not(topic: str) -> str | None:
    if topic.startswith(_SHARED):
        _, group, *rest = topic.split("/", 2)
        if not group or not rest or {"+", "#"} & set(group):
            return "a shared one is $share/GROUP/FILTER"
        topic = rest[0]
    levels = topic.split("/")
    if not topic or "\0" in topic or len(topic.encode()) > _LONGEST:
        return "it is empty, too long, or holds a zero"
    if "#" in levels[:-1]:
        return "# can only stand at the end"
    if any(len(level) > 1 and {"+", "#"} & set(level) for level in levels):
        return "+ and # stand alone between slashes"
    return None
