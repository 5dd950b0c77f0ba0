"""Which metrics, with which labels, a PromQL expression names."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_LABEL = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_RANGE = re.compile(r"\[[^\]]*\]")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})


class Selected(NamedTuple):
    """A metric of an expression, and the labels that it is selected by."""

    name: str
    labels: frozenset[str]


def selected(expression: str) -> Iterator[Selected]:
    """Yield every metric that an expression reads: whatever is neither a function, a keyword nor a label."""
    text = _GROUPING.sub(" ", _RANGE.sub(" ", _STRING.sub('""', expression)))
    for found in _SELECTOR.finditer(text):
        name, matchers = found[1], found[2] or ""
        is_number = found.start() > 0 and text[found.start() - 1].isdigit()
        if name.lower() in _WORDS or is_number or text[found.end() :].lstrip().startswith("("):
            continue
        yield Selected(name, frozenset(_LABEL.findall(matchers)))


def grouped(expression: str) -> frozenset[str]:
    """Return the labels that an expression groups or joins by."""
    lists = _GROUPING.findall(_STRING.sub('""', expression))
    return frozenset(label.strip() for labels in lists for label in labels.split(",") if label.strip())
