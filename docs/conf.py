"""Sphinx: the reference, made from the docstrings of the package and the help of its commands.

Pages are Jinja templates over `CONTEXT`, so a new network, feature module or command needs no edit.
"""

import inspect
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import typer

import fintech_dl
from fintech_dl import cards, errors
from fintech_dl.cli import app as commands

project = "fintech_dl"
release = fintech_dl.__version__
copyright = "the authors of fintech_dl, Apache-2.0"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Deep learning for finance", "fixed_sidebar": True}
html_theme_options |= {"page_width": "1100px", "sidebar_width": "240px"}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
html_show_sphinx = html_copy_source = False
default_role = "literal"
autodoc_typehints = "none"  # the docstrings say types in words
autodoc_member_order = "bysource"
autosummary_generate = False
numpydoc_show_class_members = False


def public() -> dict[str, list[str]]:
    """Return the public names of each floor of the package."""
    found: dict[str, list[str]] = {}
    for name, home in fintech_dl._HOME.items():
        found.setdefault(home.split(".")[0], []).append(name)
    return found


def modules() -> dict[str, list[str]]:
    """Return the modules of each folder of the package."""
    root = Path(fintech_dl.__file__).parent
    folders = [path.name for path in root.iterdir() if (path / "__init__.py").exists()]
    return {name: [m.name for m in iter_modules([str(root / name)])] for name in folders}


def card_records() -> dict[str, dict[str, list[tuple[str, str, str]]]]:
    """Return name and keys of the records that cards are read into, by module."""
    found: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
    for name in sorted(cards.__all__, key=lambda name: not name.endswith("Card")):
        if is_dataclass(record := getattr(cards, name)):
            found.setdefault(record.__module__.split(".")[-1], {})[name] = keys(record)
    return found


def keys(record: Any) -> list[tuple[str, str, str]]:
    """Return name, type and default of each key; no default: the key is needed."""
    rows = []
    for field in fields(record):
        default = field.default_factory() if callable(field.default_factory) else field.default
        kind = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
        kind = re.sub(r"\b(?:fintech_dl|typing)\.(?:\w+\.)*", "", kind)
        rows.append((field.name, kind, "" if default is MISSING else repr(default)))
    return [row for row in rows if row[0] not in ("name", "folder")]


def verbs(group: Any, before: str) -> list[dict[str, Any]]:
    """Return each verb of the command line with its usage, help and parameters."""
    found = []
    for name, verb in group.commands.items():
        words = f"{before} {name}"
        if hasattr(verb, "commands"):
            found += verbs(verb, words)
            continue
        context = verb.make_context(name, [], parent=None, resilient_parsing=True)
        usage = " ".join([words, *verb.collect_usage_pieces(context)])
        records = [p.get_help_record(context) for p in verb.get_params(context)]
        rows = [record for record in records if record and record[0] != "--help"]
        found.append({"words": words, "usage": usage, "help": verb.help, "rows": rows})
    return found


def exit_codes() -> dict[int, list[str]]:
    """Return what each exit code of an error means: the first lines of the errors that have it."""
    found: dict[int, list[str]] = {}
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, errors.FintechError):
            about = inspect.getdoc(error) or ""
            found.setdefault(error.exit_code, []).append(about.splitlines()[0])
    found.pop(errors.FintechError.exit_code, None)
    return dict(sorted(found.items()))


CONTEXT = {"public": public(), "modules": modules(), "cards": card_records()}
CONTEXT["verbs"] = verbs(typer.main.get_command(commands), "fintech-dl")
CONTEXT["exit_codes"] = exit_codes()


def setup(app: Any) -> None:
    """Fill the pages in, and leave out what other libraries document."""
    app.connect("source-read", fill_in)
    app.connect("autodoc-skip-member", is_foreign)
    app.connect("missing-reference", by_last_name)


def fill_in(app: Any, page: str, source: list[str]) -> None:
    """Render a page as a Jinja template."""
    source[0] = app.builder.templates.render_string(source[0], CONTEXT)


def is_foreign(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out members that scikit-learn or Python defines."""
    home = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__module__", "") or ""
    return True if not home.startswith("fintech_dl") else None


def by_last_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Find a name of the package that stands without its module, as under See Also."""
    domain = env.domains["py"]
    found = domain.find_obj(env, None, None, node.get("reftarget", ""), None, searchmode=1)
    if not found:
        return None
    target = found[0][0]
    node["reftarget"] = target
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
