"""What the package gives its users."""

import ast
import inspect
from pathlib import Path

import protojobs_client
import pytest
from protojobs_client import Admin, AsyncAdmin, AsyncClient, Client


def test_all_is_what_the_package_imports() -> None:
    source = Path(inspect.getfile(protojobs_client)).read_text()
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert sorted(protojobs_client.__all__) == sorted(imported)


def test_the_package_carries_its_types() -> None:
    assert (Path(inspect.getfile(protojobs_client)).parent / "py.typed").exists()


@pytest.mark.parametrize(("waiting", "blocking"), [(AsyncClient, Client), (AsyncAdmin, Admin)])
def test_both_clients_have_the_same_methods_with_the_same_documentation(waiting: type, blocking: type) -> None:
    methods = {name: getattr(waiting, name) for name in dir(waiting) if name[0] != "_"}

    assert {name for name in dir(blocking) if name[0] != "_"} == set(methods)
    for name, method in methods.items():
        if name != "close":
            assert inspect.getdoc(getattr(blocking, name)) == inspect.getdoc(method)


def test_every_public_method_is_documented() -> None:
    assert not [name for name in dir(Client) if name[0] != "_" and not inspect.getdoc(getattr(Client, name))]
