"""The pages of docs/reference, made of the contract, the settings and the command line. `generate.py` writes and checks them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import typer
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from protojobs_client import errors as client_errors
from protojobs_service.cli import app
from protojobs_service.cli.connection import CONNECTION_PANEL
from protojobs_service.settings import Settings
from protojobs_service.transport.status import CODES
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from typing_extensions import TypeIs

PROTO = Path(__file__).resolve().parents[1] / "proto"
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6  # fields of FileDescriptorProto
_NESTED, _FIELD, _NESTED_ENUM = 3, 2, 4  # of DescriptorProto
_VALUE, _METHOD = 2, 2  # of EnumDescriptorProto, ServiceDescriptorProto
_PREFIX = "ERROR_REASON_"


def pages() -> dict[str, str]:
    """Return every page by its name under docs."""
    contract = [_Commented(each) for each in _descriptors() if each.package == "protojobs.v1"]
    return {
        "reference/cli.md": _cli(),
        "reference/errors.md": _errors(next(each for each in contract if each.file.name.endswith("errors.proto"))),
        "reference/proto.md": _proto(contract),
        "reference/settings.md": _settings(),
    }


# ---- the contract ------------------------------------------------------------------------------------------


class _Commented:
    """A file of the contract and the comments in it, by path."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self._comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
        self._detached = {tuple(each.path): each.leading_detached_comments for each in file.source_code_info.location}

    def about(self) -> str:
        """Return what stands at the top of the file."""
        detached = self._detached.get((12,)) or self._detached.get((18,)) or ()
        return _flat(self._comments.get((12,)) or (detached[0] if detached else ""))

    def of(self, *path: int) -> str:
        """Return the comment of what stands at this path, on one line."""
        return _flat(self._comments.get(path, ""))


def _descriptors() -> Sequence[FileDescriptorProto]:
    sources = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "protojobs").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "set.binpb"
        include = ["-I", ".", "-I", str(files("grpc_tools") / "_proto")]
        command = [sys.executable, "-m", "grpc_tools.protoc", *include, "--include_source_info", f"--descriptor_set_out={target}"]
        subprocess.run([*command, *sources], cwd=PROTO, check=True)
        return FileDescriptorSet.FromString(target.read_bytes()).file


def _proto(contract: Sequence[_Commented]) -> str:
    parts = [
        "# The contract: services, messages, enums\n",
        made("the comments of proto/protojobs/v1"),
        "Units, bounds, defaults and reasons stand with each field; [protocol.md](../protocol.md) tells how they play together.\n",
    ]
    for commented in contract:
        file = commented.file
        parts.append(f"\n## {Path(file.name).name}\n\n{commented.about()}\n")
        for at, service in enumerate(file.service):
            parts.append(f"\n### service {service.name}\n\n{commented.of(_SERVICE, at)}\n")
            parts.append("| RPC | takes | answers | |\n|---|---|---|---|")
            for place, method in enumerate(service.method):
                takes = f"{'stream of ' if method.client_streaming else ''}`{_short(method.input_type)}`"
                answers = f"{'stream of ' if method.server_streaming else ''}`{_short(method.output_type)}`"
                parts.append(f"| `{method.name}` | {takes} | {answers} | {cell(commented.of(_SERVICE, at, _METHOD, place))} |")
            parts.append("")
        for at, message in enumerate(file.message_type):
            parts += _message(commented, message, message.name, (_MESSAGE, at))
        for at, enum in enumerate(file.enum_type):
            parts += _enum(commented, enum, enum.name, (_ENUM, at))
    return "\n".join(parts).rstrip() + "\n"


def _message(commented: _Commented, message: DescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
    yield f"\n### {name}\n\n{commented.of(*path)}\n".replace("\n\n\n", "\n")
    maps = {each.name: each for each in message.nested_type if each.options.map_entry}
    if message.field:
        yield "| field | type | no. | |\n|---|---|---|---|"
    for at, part in enumerate(message.field):
        choice = f" (one of `{message.oneof_decl[part.oneof_index].name}`)" if _is_choice(part) else ""
        text = cell(commented.of(*path, _FIELD, at))
        yield f"| `{part.name}` | {_type(part, maps)}{choice} | {part.number} | {text} |"
    yield ""
    for at, nested in enumerate(message.nested_type):
        if nested.name not in maps:
            yield from _message(commented, nested, f"{name}.{nested.name}", (*path, _NESTED, at))
    for at, enum in enumerate(message.enum_type):
        yield from _enum(commented, enum, f"{name}.{enum.name}", (*path, _NESTED_ENUM, at))


def _enum(commented: _Commented, enum: EnumDescriptorProto, name: str, path: tuple[int, ...]) -> Iterator[str]:
    yield f"\n### enum {name}\n\n{commented.of(*path)}\n\n| value | no. | |\n|---|---|---|"
    for at, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {cell(commented.of(*path, _VALUE, at))} |"
    yield ""


def _is_choice(part: FieldDescriptorProto) -> bool:
    return part.HasField("oneof_index") and not part.proto3_optional


def _type(part: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(part.type_name.rpartition(".")[2])
    if entry is not None:
        return f"map of {_type(entry.field[0], {})} to {_type(entry.field[1], {})}"
    plain = _short(part.type_name) if part.type_name else FieldDescriptorProto.Type.Name(part.type).removeprefix("TYPE_").lower()
    label = "repeated " if part.label == FieldDescriptorProto.LABEL_REPEATED else "optional " if part.proto3_optional else ""
    return f"{label}`{plain}`"


def _short(name: str) -> str:
    return name.removeprefix(".protojobs.v1.").removeprefix(".google.protobuf.").removeprefix(".")


# ---- errors ------------------------------------------------------------------------------------------------


def _errors(commented: _Commented) -> str:
    codes = {error.reason: code.name for error, code in CODES.items() if error.reason}
    classes = _client_classes()
    enum = commented.file.enum_type[0]
    rows: list[str] = []
    for at, value in enumerate(enum.value):
        if value.number == 0:
            continue
        reason = value.name.removeprefix(_PREFIX)
        told, _, text = commented.of(_ENUM, 0, _VALUE, at).partition(": ")
        code = told if told.replace(" or ", "").replace("_", "").isupper() else codes.get(reason, told)
        rows.append(f"| `{reason}` | {code} | {cell(text)} | `{classes.get(reason, 'by its code')}` |")
    lines = "\n".join(rows)
    return f"""# Errors

{made("proto/protojobs/v1/errors.proto")}
Every refusal is a `google.rpc.Status` with an `ErrorInfo` of the domain `protojobs.dev`; its `reason` is one of these, and is
stable. Which errors are definite and which leave the outcome unknown: [guarantees.md](../guarantees.md), 2. The classes are those
of `protojobs_client.errors`, whose `retryable` says whether the same call may be repeated.

| reason | gRPC code | meaning | class in Python |
|---|---|---|---|
{lines}
"""


def _client_classes() -> dict[str, str]:
    """Return the class of each reason as the client maps them, from the tree in its documentation."""
    found: dict[str, str] = {}
    for line in (client_errors.__doc__ or "").splitlines():
        parts = line.strip("│├└─ ").split()
        if len(parts) > 1 and parts[0].endswith("Error"):
            found[parts[1].rstrip(":")] = parts[0]
    return {**found, "INVALID_FIELD": "InvalidArgumentError"}


# ---- settings and commands ---------------------------------------------------------------------------------


def _settings() -> str:
    rows = "\n".join(_setting_rows("", Settings))
    return f"""# Settings of the server

{made("protojobs_service/settings")}
By environment, or by a YAML file that `--config` or `PROTOJOBS_CONFIG` names (`limits: {{max_payload_bytes: 2048}}`); the
environment wins over the file, options of the command over both. `protojobs config show` prints what is in force.

| setting | environment | default | bounds | meaning |
|---|---|---|---|---|
{rows}
"""


def _setting_rows(prefix: str, section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = field.annotation
        if _is_section(inner):
            yield from _setting_rows(f"{prefix}{name}.", inner)
            continue
        full = f"{prefix}{name}"
        # Entries of a list have no variable of their own.
        variable = "" if "[]" in full else f"`PROTOJOBS_{full.replace('.', '__').upper()}`"
        yield f"| `{full}` | {variable} | {_default(field)} | {_bounds(field)} | {cell(field.description or '')} |"
        entry = next(iter(get_args(inner)), None)
        if _is_section(entry):
            yield from _setting_rows(f"{full}[].", entry)


def _is_section(found: Any) -> TypeIs[type[BaseModel]]:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made at start"
    if field.is_required():
        return "required"
    value = getattr(field.default, "value", field.default)
    return "-" if value is None or isinstance(value, SecretStr) else f"`{value}`" if str(value) else "empty"


def _bounds(field: FieldInfo) -> str:
    least = next((each.ge for each in field.metadata if hasattr(each, "ge")), None)
    most = next((each.le for each in field.metadata if hasattr(each, "le")), None)
    if most is not None:
        return f"{least} to {most}"
    return "" if least is None else f"{least} or more"


def _cli() -> str:
    command = typer.main.get_command(app)
    inner: dict[str, Any] = getattr(command, "commands", {})
    parts = [
        "# The command line\n",
        made("protojobs_service/cli"),
        f"{app.info.epilog}\n",
        "## The connection\n\nCommands with `--address` take these, too:\n",
        *_options(each for each in inner["health"].params if _is_of_connection(each)),
        *_command("protojobs", command),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    inner: dict[str, Any] | None = getattr(command, "commands", None)
    if inner is not None:
        for key in sorted(inner):
            yield from _command(f"{name} {key}", inner[key])
        return
    parameters = [each for each in command.params if not ("--help" in each.opts or each.hidden or _is_of_connection(each))]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    usage = " ".join([name, *(each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments)])
    yield f"\n## {name}\n\n```\n{usage} [options]\n```\n\n{command.help}\n"
    yield from _options(parameters)


def _options(parameters: Iterable[Any]) -> Iterator[str]:
    rows = [f"| {_named(each)} | {cell(each.help or '')} | {_standard(each)} |" for each in parameters]
    if rows:
        yield "| option | | default |\n|---|---|---|"
        yield from rows
        yield ""


def _is_of_connection(parameter: Any) -> bool:
    return getattr(parameter, "rich_help_panel", None) == CONNECTION_PANEL


def _named(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    names = ", ".join(f"`{each}`" for each in (*sorted(parameter.opts, key=len, reverse=True), *parameter.secondary_opts))
    return f"{names} (`{parameter.envvar}`)" if parameter.envvar else names


def _standard(parameter: Any) -> str:
    value = parameter.default
    is_told = isinstance(value, int | float | str) and value is not False and value != ""
    return f"`{value}`" if is_told and not parameter.required else ""


# ---- Markdown ----------------------------------------------------------------------------------------------


def made(source: str) -> str:
    """Return the line that says where a page comes from."""
    return f"<!-- generated by docs/generate.py from {source}; do not edit -->\n"


def _flat(comment: str) -> str:
    return " ".join(comment.split())


def cell(text: str) -> str:
    """Return a text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
