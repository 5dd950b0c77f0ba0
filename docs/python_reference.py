"""The pages of docs/reference that are made from the Python packages: what each exports, with signatures and docstrings."""

import ast
import importlib
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from docs.reference_pages import cell, made

_OURS: Final = ("protojobs_client", "protojobs_worker")
_CLIENT: Final = ("protojobs_client", "protojobs_client.outbox", "protojobs_client.testing")
_WORKER: Final = ("protojobs_worker", "protojobs_worker.testing")
_BLOCKING: Final = {"Client": "AsyncClient", "Admin": "AsyncAdmin"}
"""Classes whose methods are made of those of another one, which has them to be awaited."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def pages() -> dict[str, str]:
    """Return every page by its name under docs."""
    return {
        "reference/python-client.md": _page("Python client", _CLIENT),
        "reference/python-worker.md": _page("Python worker", _WORKER),
    }


def _page(title: str, modules: tuple[str, ...]) -> str:
    parts = [f"# {title}", made(", ".join(modules)).rstrip()]
    parts += ["What may be imported from each module; everything else is the package's own."]
    for name in modules:
        module = importlib.import_module(name)
        parts += [f"## {name}", inspect.cleandoc(module.__doc__ or ""), *_exports(module)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _exports(module: ModuleType) -> Iterator[str]:
    found = {name: getattr(module, name) for name in sorted(_names(module), key=str.casefold)}
    for name, value in found.items():
        node = _nodes(inspect.getmodule(value) or module).get(name) if inspect.isclass(value) or inspect.isfunction(value) else None
        yield f"### {name}"
        if isinstance(node, ast.ClassDef):
            yield from _class(name, value, node)
        elif isinstance(node, _Function):
            yield from _function(node)
        else:
            yield from _alias(name, module)


def _names(module: ModuleType) -> Iterator[str]:
    listed: list[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        yield from listed
        return
    for name, node in _nodes(module).items():
        if not name.startswith("_") and not name.isupper() and isinstance(node, ast.ClassDef | _Function):
            yield name


@cache
def _nodes(module: ModuleType) -> Mapping[str, ast.stmt]:
    """Return what a module defines, by name; an assignment that a docstring follows is documented by it."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(Path(str(module.__file__)).read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
            case _:
                pass
    return found


def _class(name: str, cls: type[Any], node: ast.ClassDef) -> Iterator[str]:
    bases = ", ".join(ast.unparse(base) for base in node.bases if not ast.unparse(base).startswith("_"))
    yield _code(f"class {name}({bases})" if bases else f"class {name}")
    yield _doc(node)
    rows = list(_fields(node))
    if rows:
        yield "\n".join(["| field | |", "|---|---|", *rows])
    if name in _BLOCKING:
        yield f"Its methods are those of [{_BLOCKING[name]}](#{_BLOCKING[name].lower()}), and wait instead of being awaited."
        return
    for method in _methods(cls):
        yield from _function(method, of=name)


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        match each:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=of, value=value) if not name.startswith("_"):
                default = f" = {ast.unparse(value)}" if value is not None else ""
                yield f"| `{name}` | `{cell(ast.unparse(of) + default)}` |"
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                yield f"| `{name}` | `{cell(ast.unparse(value))}` |"
            case _:
                pass


def _methods(cls: type[Any]) -> Iterator[_Function]:
    """Yield the public methods, those of bases of ours too, and a constructor that takes something."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith(_OURS):
            continue
        node = _nodes(importlib.import_module(base.__module__)).get(base.__name__)
        for each in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(each, _Function) or each.name in seen or _is_overload(each):
                continue
            if not each.name.startswith("_") or (each.name == "__init__" and ast.get_docstring(each)):
                seen.add(each.name)
                yield each


def _is_overload(node: _Function) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


def _function(node: _Function, of: str = "") -> Iterator[str]:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    decorators = [f"@{text}\n" for each in node.decorator_list if "property" in (text := ast.unparse(each)) or "method" in text]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    signature = f"{''.join(decorators)}{kind} {node.name}({ast.unparse(node.args)}){returns}"
    if of:
        yield f"#### {of}.{node.name}"
    yield _code(signature)
    yield _doc(node)


def _alias(name: str, module: ModuleType) -> Iterator[str]:
    """Show a name that is neither a class nor a function: where it is defined, and the docstring below it."""
    for each in [module, *(inspect.getmodule(value) for value in vars(module).values())]:
        if each is None or not each.__name__.startswith(_OURS):
            continue
        node = _nodes(each).get(name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield _code(ast.unparse(node))
            return
    yield _code(name)


def _doc(node: ast.ClassDef | _Function) -> str:
    return ast.get_docstring(node) or ""


def _code(text: str) -> str:
    return f"```python\n{text}\n```"
