"""The command that reads the golden vectors: every message from both encodings, and back."""

import importlib
import json
from pathlib import Path

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from protojobs_interop.lines import say

_MODULES = ("admin", "job", "queue", "schedule", "server", "worker")


def check(directory: Path) -> bool:
    """Tell of each vector whether it reads as it must; return whether all do."""
    for name in _MODULES:
        importlib.import_module(f"protojobs.v1.{name}_service_pb2")  # which registers its messages
    all_good = True
    for vector in json.loads((directory / "index.json").read_text())["vectors"]:
        binary, text = _check(directory, vector["name"], vector["type"])
        say("vector", name=vector["name"], binary=binary, json=text)
        all_good = all_good and binary and text
    return all_good


def _check(directory: Path, name: str, full_name: str) -> tuple[bool, bool]:
    data, text = (directory / f"{name}.bin").read_bytes(), (directory / f"{name}.json").read_text()
    kind: type[Message] = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))
    from_binary, from_text = kind.FromString(data), json_format.Parse(text, kind())
    binary = from_binary.SerializeToString(deterministic=True) == data
    same = from_binary == from_text and json_format.MessageToDict(from_binary) == json.loads(text)
    return binary, same
