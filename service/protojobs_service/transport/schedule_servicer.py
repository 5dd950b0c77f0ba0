"""ScheduleService, as far as it is one delayed job; schedules with a name come with a later version."""

# ruff: noqa: N802 # methods have the names of the RPCs

from protojobs.v1 import job_pb2, schedule_service_pb2

from protojobs_service.application import Dispatch
from protojobs_service.domain.errors import InvalidField, JobsError, Unsupported
from protojobs_service.transport.convert import LATER
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.interceptors import Context
from protojobs_service.transport.results import under
from protojobs_service.transport.specs import Specs

_LATER_FIELDS = ("name", "catchup", "overlap", "paused", "etag")
_LATER_SPEC_FIELDS = ("every", "cron", "daily", "weekly", "time_zone", "start_time", "end_time", "jitter")


class ScheduleServicer:
    """Answers ScheduleService: `at` and `in` store one job, idempotent by its id."""

    def __init__(self, dispatch: Dispatch, specs: Specs) -> None:
        self._dispatch = dispatch
        self._specs = specs

    async def Schedule(
        self, request: schedule_service_pb2.ScheduleRequest, _context: Context
    ) -> schedule_service_pb2.ScheduleResponse:
        """Store a job for one time."""
        schedule = request.schedule
        job = _once(schedule)
        try:
            draft = self._specs.draft(job.SerializeToString())
            if not request.validate_only:
                [answer] = await self._dispatch.many([draft])
                if isinstance(answer, JobsError):
                    raise answer
        except JobsError as error:
            raise _named(error) from None
        stored = schedule_service_pb2.Schedule(spec=schedule.spec, job=schedule.job)
        stored.job.id = format_id(draft.job.id)
        if schedule.spec.HasField("at"):
            stored.next_time.CopyFrom(schedule.spec.at)
        if not request.validate_only:
            stored.last_job_id = stored.job.id
        return schedule_service_pb2.ScheduleResponse(schedule=stored, job_id=stored.job.id)


def _once(schedule: schedule_service_pb2.Schedule) -> job_pb2.JobSpec:
    """Return the spec of the one job that a schedule asks for. Raises InvalidField, Unsupported."""
    for field, _ in schedule.ListFields():
        if field.name in _LATER_FIELDS:
            raise Unsupported(f"schedule.{field.name}", LATER)
    for field, _ in schedule.spec.ListFields():
        if field.name in _LATER_SPEC_FIELDS:
            raise Unsupported(f"schedule.spec.{field.name}", LATER)
    job = job_pb2.JobSpec()
    job.CopyFrom(schedule.job)
    if (start := job.WhichOneof("start")) is not None:
        raise InvalidField(f"schedule.job.{start}", "must be unset: the schedule says when")
    match schedule.spec.WhichOneof("when"):
        case "at":
            job.run_time.CopyFrom(schedule.spec.at)
        case "in":
            job.delay.CopyFrom(getattr(schedule.spec, "in"))
        case _:
            raise InvalidField("schedule.spec", "must say when: at or in")
    return job


def _named(error: JobsError) -> JobsError:
    """Return an error of the job under the field that the caller set."""
    where = {"run_time": "schedule.spec.at", "delay": "schedule.spec.in"}
    if isinstance(error, InvalidField) and error.field in where:
        return InvalidField(where[error.field], error.detail)
    return under(error, "schedule.job")
