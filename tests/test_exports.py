"""The public names: sorted, complete, and each where it says it is."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Final

import pytest

import portkey_client
import portkey_testing

PACKAGES: Final = (portkey_client, portkey_testing)


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, then the rest: the order of ruff's RUF022, which keeps every other `__all__` sorted."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_public_names_are_sorted_and_unique(package: ModuleType) -> None:
    """A name is found by eye, and listed once."""
    assert sorted(set(package.__all__), key=_order) == package.__all__


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_can_be_imported(package: ModuleType) -> None:
    """No name is promised that is not there."""
    assert [] == [name for name in package.__all__ if not hasattr(package, name)]


def _defined(package: ModuleType) -> Iterator[str]:
    """Public names of our own classes and functions that the package binds."""
    for name, value in vars(package).items():
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(package.__name__):
            yield name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_no_public_name_is_left_out(package: ModuleType) -> None:
    """What looks public is in `__all__`."""
    assert set() == set(_defined(package)) - set(package.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Loading names on first use keeps the usual error for one that does not exist."""
    with pytest.raises(AttributeError, match="module 'portkey_testing' has no attribute 'respond'"):
        _ = portkey_testing.respond


def _exceptions(module: str, base: type[BaseException]) -> set[str]:
    """The names of a module's exceptions, which themselves name the package as theirs: users find them there."""
    home = importlib.import_module(module)
    return {
        name
        for name, value in vars(home).items()
        if isinstance(value, type) and issubclass(value, base) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("package", "module", "base"),
    [
        (portkey_testing, "portkey_testing.failures", portkey_testing.PortkeyTestFailure),
        (portkey_client, "portkey_client.errors", portkey_client.PortkeyError),
    ],
    ids=["failures of a test", "errors of the client"],
)
def test_every_exception_is_public(package: ModuleType, module: str, base: type[BaseException]) -> None:
    """A test may expect each of them, and a user catch it, so each has a public name."""
    defined = _exceptions(module, base)

    assert len(defined) > 10
    assert set() == defined - set(package.__all__)
