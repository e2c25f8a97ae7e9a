"""Strict YAML: what is refused says where, what was allowed and what was probably meant."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from lichen.core.errors import ProjectError
from lichen.core.settings import decode


class Colour(StrEnum):
    red = "red"
    green = "green"


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str = ""
    size: Literal["small", "large"] | None = None
    colour: Colour | None = None


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    parts: list[Part] = []
    by_name: dict[str, Part] = {}
    label: str | None = None
    width: int = 0


CASES = [
    ("lable: x", "s.yml:1: unknown key 'lable'\n  allowed: parts, by_name, label, width\n"
     "  did you mean 'label'?"),
    ("parts:\n- name: a\n- nmae: b", "s.yml:3: unknown key 'nmae'\n"
     "  allowed: name, size, colour\n  did you mean 'name'?"),
    ("parts:\n- size: smal", "s.yml:2: parts[0].size: 'smal' is not allowed\n"
     "  allowed: small, large\n  did you mean 'small'?"),
    ("parts:\n- name: a\n  colour: gren", "s.yml:3: parts[0].colour: 'gren' is not allowed\n"
     "  allowed: red, green\n  did you mean 'green'?"),
    ("label: 1.0", "s.yml:1: label: expected a text, got a number\n"
     "  next: put the value in quotes"),
    ("label: no", "s.yml:1: label: expected a text, got true or false\n"
     "  next: put the value in quotes"),
    ("width: wide", "s.yml:1: width: expected a whole number, got a text"),
    ("width: 1\nwidth: 2", "s.yml:2: the key 'width' stands twice (first on line 1)\n"
     "  next: keep one of the two"),
    ("- 1", "s.yml:1: this file: expected keys with values, got a list"),
]  # fmt: skip


@pytest.mark.parametrize(("yaml", "message"), CASES)
def test_a_mistake(yaml: str, message: str) -> None:
    with pytest.raises(ProjectError) as caught:
        decode(yaml, Whole, Path("s.yml"))
    assert str(caught.value) == message


def test_lines_count_from_where_the_text_begins() -> None:
    with pytest.raises(ProjectError) as caught:
        decode("width: 1\nlabel: 2", Whole, Path("t.sql"), first_line=4)
    assert str(caught.value).startswith("t.sql:5: label:")


def test_what_reads() -> None:
    text = "label: 2013-01-01\nparts: [{size: large, colour: red}]\n"
    assert decode(text, Whole, Path("s.yml")) == Whole(
        label="2013-01-01", parts=[Part(size="large", colour=Colour.red)]
    )
