"""What the docstrings promise: parameters as declared, sections in order, examples that run."""

import doctest
import inspect
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import fintech_dl

PACKAGE = Path(fintech_dl.__file__).parent
MODULES = sorted(
    ".".join(["fintech_dl", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
    if "_shipped" not in path.parts
)
PUBLIC = [name for name in fintech_dl.__all__ if not name.startswith("__")]

# codes of numpydoc: sections unknown, in a wrong order or without their colons; a summary that is
# lower case, indented, without its full stop or longer than a line (none at all: ruff's D rules)
EVERYWHERE = {"GL06", "GL07", "GL10", "SS02", "SS03", "SS04", "SS06"}
# for public names also: no docstring, no summary, no word on when to use it, nothing on what is
# returned, no example
PUBLIC_TOO = EVERYWHERE | {"GL08", "SS01", "ES01", "RT01", "EX01"}


def faults(name: str, codes: set[str]) -> list[str]:
    return [f"{code} {text}" for code, text in validate(name)["errors"] if code in codes]


def declared(thing: Any) -> list[str]:
    """Return the parameters of a function, or of a class as its ``__init__`` takes them."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    given = inspect.signature(thing).parameters.values()
    return [stars.get(p.kind, "") + p.name for p in given if p.name != "self"]


def documented(thing: Any) -> list[str]:
    """Return the parameters that the docstring lists; of a plain record, its attributes.

    A class may leave those of a base class to the base, if it names it under See Also.
    """
    page = NumpyDocString(inspect.getdoc(thing) or "")

    def listed(section: str) -> list[str]:
        return [name.strip() for row in page[section] for name in row.name.split(",")]

    names = [*listed("Parameters"), *listed("Other Parameters")]
    if inspect.isclass(thing):
        named = {name for entry, _ in page["See Also"] for name, _ in entry}
        for base in thing.__mro__[1:]:
            if base.__name__ in named:
                names += [name for name in documented(base) if name not in names]
    return names or (listed("Attributes") if is_dataclass(thing) else [])


def in_order(thing: Any, names: list[str]) -> list[str]:
    """Return the names as they are where order means something, sorted where all are keywords."""
    given = inspect.signature(thing).parameters.values()
    return sorted(names) if all(p.kind == p.KEYWORD_ONLY for p in given) else names


def faults_of_parameters(thing: Any) -> str:
    """Return what differs between the documented and the declared parameters."""
    said, real = (in_order(thing, names) for names in (documented(thing), declared(thing)))
    if said == real:
        return ""
    return f"undocumented: {set(real) - set(said)}, unknown: {set(said) - set(real)}, order: {real}"


def described(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the public functions, classes and methods that a module defines."""
    for name, thing in vars(import_module(module)).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module:
            continue
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield f"{module}.{name}", thing
        if inspect.isclass(thing):
            for inner, member in vars(thing).items():
                if not inner.startswith("_") and inspect.isfunction(member):
                    yield f"{module}.{name}.{inner}", member


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_say_what_is_there(module):
    for name, thing in described(module):
        assert not faults(name, EVERYWHERE), name
        if documented(thing):
            assert not faults_of_parameters(thing), name


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented_in_full(name):
    thing = getattr(fintech_dl, name)
    assert not faults_of_parameters(thing)
    assert not faults(f"{thing.__module__}.{name}", PUBLIC_TOO)


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    said: list[str] = []
    # no names but the example's own: what a reader copies must run as it stands
    for example in doctest.DocTestFinder().find(
        import_module(module), globs={"__name__": "__main__"}
    ):
        runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)
