"""Jars are fetched anew when a version changes; a Java of another version is passed over."""

from pathlib import Path

import pytest
from tests.services import maven


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kit of one pom, with what was fetched for it."""
    monkeypatch.setattr(maven, "POMS", tmp_path / "poms")
    monkeypatch.setattr(maven, "KITS", tmp_path / "kits")
    for path in (tmp_path / "poms" / "small.xml", tmp_path / "kits" / "small" / "pom.xml"):
        path.parent.mkdir(parents=True)
        path.write_text("<version>1</version>")
    return tmp_path


def test_jars_of_another_version_are_not_taken_for_the_wanted_ones(kit: Path) -> None:
    assert maven.fetched("small")
    (kit / "poms" / "small.xml").write_text("<version>2</version>")
    assert not maven.fetched("small")


def test_a_fetch_that_was_broken_off_counts_as_none(kit: Path) -> None:
    (kit / "kits" / "small" / "pom.xml").unlink()
    (kit / "kits" / "small" / "part.jar").touch()
    assert not maven.fetched("small")


@pytest.mark.parametrize(
    ("release", "taken"),
    [
        ('JAVA_VERSION="17.0.15"', True),
        ('IMPLEMENTOR="17"\nJAVA_VERSION="17"', True),
        ('JAVA_VERSION="21.0.2"', False),
        ('JAVA_VERSION="1.8.0_292"', False),
        ("", False),
    ],
)
def test_java_is_taken_from_java_home_only_in_the_wanted_version(
    release: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text(release)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert (maven.java() == tmp_path / "bin" / "java") is taken
