"""What a page says after a change: words from a list, so that an address cannot put others in our mouth."""

from collections.abc import Mapping

_WORDS = {
    "paused": "The queue is paused.",
    "resumed": "The queue is open again.",
    "cleared": "{jobs} deleted.",
    "nothing_chosen": "Nothing was chosen.",
    "retry": "{jobs_run} again; {left}.",
    "cancel": "{jobs} cancelled, or asked to stop; {left}.",
    "delete": "{jobs} deleted; {left}.",
    "retried": "The job runs again.",
    "cloned": "This is the new job.",
    "triggered": "This is the job that the schedule made.",
    "cancelled": "The job is cancelled, or its worker asked.",
    "deleted": "The job is deleted.",
    "schedule_paused": "The schedule is paused.",
    "schedule_resumed": "The schedule goes on.",
    "schedule_deleted": "The schedule is deleted.",
    "draining": "The worker finishes what it runs and takes nothing new.",
    "revoked": "The token is revoked.",
}
_MOST_DIGITS = 12


def read_notice(query: Mapping[str, str]) -> str:
    """Return the words for `done` of an address, with its numbers; empty for none and for what we never say."""
    words = _WORDS.get(query.get("done", ""), "")
    changed, skipped = _number(query.get("changed", "")), _number(query.get("skipped", ""))
    one = changed == "1"
    return words.format(
        jobs=f"{changed} job is" if one else f"{changed} jobs are",
        jobs_run=f"{changed} job runs" if one else f"{changed} jobs run",
        left=f"{skipped} was left alone" if skipped == "1" else f"{skipped} were left alone",
    )


def _number(text: str) -> str:
    return f"{int(text):,}" if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else "0"
