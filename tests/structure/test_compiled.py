"""What the modules that a compiled build compiles may not have in them: mypyc would compile it to something else."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import MemberDescriptorType, ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
MODULES: list[str] = HOOK["custom"]["modules"]

Waiting = (ast.Await, ast.AsyncFor, ast.AsyncWith)
Function = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def waits_in_handlers(source: str) -> list[int]:
    """The lines that wait within `except`, `finally` or `async with`, where mypyc 2.4 loses the error."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AsyncWith):
            found.add(node.lineno)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            inside = [*node.finalbody, *(part for handler in node.handlers for part in handler.body)]
            found |= {part.lineno for statement in inside for part in _own(statement) if isinstance(part, Waiting)}
    return sorted(found)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those in it, without those of functions that are defined in it."""
    if not isinstance(node, Function):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _own(child)


@pytest.mark.parametrize("module", MODULES)
def test_a_compiled_module_waits_for_nothing_while_it_handles_an_error(module: str) -> None:
    path = ROOT / "py" / "plugmux" / f"{module}.py"
    lines = waits_in_handlers(path.read_text())
    assert lines == [], f"{path.name} waits at {lines}: await through plugmux.aio.closing, which is not compiled"


def test_what_would_be_lost_is_found() -> None:
    source = """
async def f():
    try:
        await work()
    except OSError:
        await tell()
    finally:
        async for each in rest():
            await each
        async def later():
            await never()
    try:
        await work()
    finally:
        done()
    async with place():
        pass
"""
    assert waits_in_handlers(source) == [6, 8, 9, 16]


def overwritten(module: ModuleType) -> list[str]:
    """Fields of interpreted bases of a module's classes: a compiled class would have its own at the same place."""
    compiled = {f"plugmux.{name.replace('/', '.')}" for name in MODULES}
    return [
        f"{each.__name__}: {base.__name__}.{name}"
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__
        for base in each.__mro__[1:]
        if base.__module__ not in {*compiled, module.__name__, "builtins"}
        for name, field in vars(base).items()
        if isinstance(field, MemberDescriptorType)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_a_compiled_class_has_no_fields_of_an_interpreted_base(module: str) -> None:
    assert overwritten(importlib.import_module(f"plugmux.{module.replace('/', '.')}")) == []


def test_the_field_of_a_transport_of_asyncio_is_found() -> None:
    assert overwritten(importlib.import_module("plugmux.yamux.stream")) == ["StreamTransport: BaseTransport._extra"]


def test_what_they_wait_through_is_interpreted() -> None:
    assert "aio/closing" not in MODULES
    assert len(MODULES) > 20
