"""The graph of nodes: order, ancestors, descendants."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

N = TypeVar("N", bound=Hashable)
Edges = Mapping[N, Iterable[N]]  # a node to the nodes that it reads


def ordered(edges: Mapping[N, Iterable[N]]) -> tuple[N, ...]:
    """Return the nodes so that each comes after all that it reads; raises CycleError.

    >>> ordered({"b": ["a"], "a": [], "c": ["b"]})
    ('a', 'b', 'c')
    """
    return tuple(TopologicalSorter(edges).static_order())


def cycle(edges: Mapping[N, Iterable[N]]) -> tuple[N, ...]:
    """Return one cycle, first node repeated at the end, or ().

    >>> cycle({"a": ["b"], "b": ["a"]})[0] in "ab"
    True
    """
    try:
        ordered(edges)
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def upstream(edges: Mapping[N, Iterable[N]], of: N) -> frozenset[N]:
    """Return everything that a node reads, directly or not, without itself.

    >>> sorted(upstream({"c": ["b"], "b": ["a"], "a": []}, "c"))
    ['a', 'b']
    """
    found: set[N] = set()
    todo = list(edges.get(of, ()))
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo.extend(edges.get(node, ()))
    return frozenset(found)


def downstream(edges: Mapping[N, Iterable[N]], of: N) -> tuple[N, ...]:
    """Return everything that reads a node, directly or not, in order.

    >>> downstream({"c": ["b"], "b": ["a"], "a": []}, "a")
    ('b', 'c')
    """
    return tuple(node for node in ordered(edges) if of in upstream(edges, node))
