"""What jobs hold, made fit to look at: nothing in it may act on the page or on the reader's eyes.

Jinja2 escapes markup. What escaping leaves is done here: control characters, which terminals and clipboards obey, and the
characters of bidirectional text, which can show `gpj.exe` as `exe.jpg`.
"""

import re
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

LONGEST_LINE = 512
"""Characters of a name, label or message; a page of long ones stays a page."""

# Tab and line feed are what text is made of. C1 controls, line and paragraph separators, the byte order mark, zero-width
# characters, and every control of the Unicode bidirectional algorithm (UAX #9, 2.1 to 2.6); and surrogates and tags, which
# nothing draws.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_CONTROL_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"


def visible(text: str) -> str:
    """Return text in which every character can be seen: NUL as a picture (U+2400), others that draw nothing as `[U+202E]`."""
    return _UNSEEN.sub(_picture, text)


def is_plain(text: str) -> bool:
    """Tell whether `visible` would leave the text alone."""
    return _UNSEEN.search(text) is None


def cut(text: str, most: int = LONGEST_LINE) -> str:
    """Return at most `most` characters, and a mark that says how many are left out."""
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]}… ({left_out:,} more)"


def printed(value: object) -> object:
    """Make visible what a template prints; given to Jinja2 as `finalize`, so that no template can forget it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return "" if value is None else value
    return visible(value)


def count(number: int) -> str:
    """Return a whole number in groups of three."""
    return f"{number:,}"


def rate(per_second: float) -> str:
    """Return a rate with as many digits as are read: 0, 0.03, 4.2, 1,250."""
    if per_second == 0:
        return "0"
    if per_second < 0.1:
        return f"{max(per_second, 0.01):.2f}"
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:,.0f}"


def size(number: int) -> str:
    """Return a number of bytes in the unit that fits."""
    if number < 1024:
        return f"{number} B"
    return f"{number / 1024:.1f} KiB" if number < 1024 * 1024 else f"{number / 1024 / 1024:.1f} MiB"


def span(length: timedelta | None) -> str:
    """Return a length of time in the two largest units that matter: 350 ms, 4.2 s, 3 min 20 s, 2 d 4 h. Empty for None."""
    if length is None:
        return ""
    seconds = length.total_seconds()
    if seconds < 0:
        return f"-{span(-length)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = int(seconds)
    for above, below, larger, smaller in (("d", "h", 86_400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= larger:
            rest = whole % larger // smaller
            return f"{whole // larger:,} {above} {rest} {below}" if rest else f"{whole // larger:,} {above}"
    raise AssertionError(whole)


def moment(at: datetime | None) -> Markup:
    """Return a `time` element in UTC, which the page's script turns into the reader's own time. Empty for None."""
    return _time(at, "")


def since(at: datetime | None) -> Markup:
    """The same, shown as how long ago it was, or how soon it will be."""
    return _time(at, "ago")


def _time(at: datetime | None, how: str) -> Markup:
    if at is None:
        return Markup("")
    utc = at.astimezone(UTC)
    form = Markup('<time class="{}" datetime="{}" title="{}">{}</time>')
    exact = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return form.format(how, exact, utc.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC", utc.strftime("%Y-%m-%d %H:%M:%S UTC"))


def _picture(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number < 0x20:
        return chr(_CONTROL_PICTURES + number)
    return _DELETE_PICTURE if number == 0x7F else f"[U+{number:04X}]"
