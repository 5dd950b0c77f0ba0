"""Which jobs: JobFilter and the filter language in, a query out."""

from datetime import datetime
from typing import Literal

from protojobs.v1 import job_service_pb2

from protojobs_service.application import ListQuery
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.filter import Filter
from protojobs_service.domain.filter_text import FilterSyntaxError, parse
from protojobs_service.transport import convert
from protojobs_service.transport.ids import parse_id


def parse_filter(asked: job_service_pb2.JobFilter, expression: str) -> ListQuery:
    """Return the query of the fields `filter` and `expression` of a request. Raises InvalidField."""
    for name in ("queues", "kinds"):
        names = getattr(asked, name)
        if len(names) > bounds.MAX_FILTER_VALUES:
            raise InvalidField(f"filter.{name}", f"at most {bounds.MAX_FILTER_VALUES}")
        for place, value in enumerate(names):
            convert.check_name(f"filter.{name}[{place}]", value)
    return ListQuery(
        queues=tuple(asked.queues),
        kinds=tuple(asked.kinds),
        states=tuple(dict.fromkeys(convert.parse_states("filter.states", asked.states))),
        labels=convert.parse_labels(asked.labels, "filter.labels") or None,
        parent=parse_id(asked.parent_job_id, "filter.parent_job_id") if asked.parent_job_id else None,
        created_after=_time(asked, "created_after"),
        created_before=_time(asked, "created_before"),
        where=_parse_expression(expression),
    )


def _parse_expression(text: str) -> Filter:
    if len(text.encode()) > bounds.MAX_FILTER_BYTES:
        raise InvalidField("expression", f"at most {bounds.MAX_FILTER_BYTES} bytes")
    try:
        return parse(text)
    except FilterSyntaxError as error:
        raise InvalidField("expression", str(error), metadata={"column": str(error.column)}) from None


def _time(asked: job_service_pb2.JobFilter, name: Literal["created_after", "created_before"]) -> datetime | None:
    return convert.parse_time(f"filter.{name}", getattr(asked, name)) if asked.HasField(name) else None
