"""Plots as Mermaid, which the pages' readers draw."""

from collections.abc import Iterable, Mapping, Sequence


def bars(title: str, unit: str, values: Mapping[str, float]) -> str:
    """Return one bar for each name."""
    names = ", ".join(f'"{name}"' for name in values)
    heights = ", ".join(f"{value:.1f}" for value in values.values())
    return _block(
        "xychart-beta horizontal",
        f'title "{title}"',
        f"x-axis [{names}]",
        f'y-axis "{unit}" 0 --> {_top(values.values())}',
        f"bar [{heights}]",
    )


def lines(title: str, unit: str, places: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """Return lines over the same places."""
    names = ", ".join(f'"{name}"' for name in places)
    top = _top([value for line in values for value in line])
    drawn = (f"line [{', '.join(f'{value:.1f}' for value in line)}]" for line in values)
    return _block("xychart-beta", f'title "{title}"', f"x-axis [{names}]", f'y-axis "{unit}" 0 --> {top}', *drawn)


def shares(title: str, values: Mapping[str, float]) -> str:
    """Return how a whole is split."""
    return _block("pie showData", f"title {title}", *(f'"{name}" : {value:.1f}' for name, value in values.items() if value > 0))


def _top(values: Iterable[float]) -> str:
    return f"{max(values) * 1.05:.1f}"


def _block(head: str, *body: str) -> str:
    return "\n".join(["```mermaid", head, *(f"    {line}" for line in body), "```", ""])
