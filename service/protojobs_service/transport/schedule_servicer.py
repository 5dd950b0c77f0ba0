"""ScheduleService: jobs at one time, and schedules that make them again and again."""

# ruff: noqa: N802 # methods have the names of the RPCs

from datetime import datetime

from protojobs.v1 import job_pb2, schedule_service_pb2
from uuid_utils import uuid7

from protojobs_service.application import Application, Judge, job_of
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField, JobIdTime, JobsError, PermissionDenied, ScheduleNotFound
from protojobs_service.domain.job import JobId
from protojobs_service.domain.schedule import Schedule
from protojobs_service.transport import convert, ids
from protojobs_service.transport.call import Context
from protojobs_service.transport.chains import strip
from protojobs_service.transport.convert import to_timestamp
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.job_access import chain_queues, check_draft
from protojobs_service.transport.pages import Pages
from protojobs_service.transport.permissions import Access, access
from protojobs_service.transport.schedule_convert import parse_count, parse_definition, parse_from, parse_spec, to_schedule
from protojobs_service.transport.specs import Specs
from protojobs_service.transport.status import under

_OF_REPEATED = ("name", "catchup", "overlap", "paused", "etag")
_OF_REPEATED_SPECS = ("time_zone", "start_time", "end_time", "jitter")
# Templates may be a megabyte each, and a client takes 16 MiB.
_SLICE, _PAGE_BYTES = 20, 4 * 1024 * 1024


class ScheduleServicer:
    """Answers ScheduleService over the use cases; one method per RPC, named as there."""

    def __init__(self, application: Application, specs: Specs) -> None:
        self._dispatch = application.dispatch
        self._schedules = application.schedules
        self._store_time = application.store_time
        self._specs = specs

    async def Schedule(
        self, request: schedule_service_pb2.ScheduleRequest, _context: Context
    ) -> schedule_service_pb2.ScheduleResponse:
        """Make or change a schedule, or store the one job of `at` and `in`."""
        if request.schedule.spec.WhichOneof("when") in ("at", "in"):
            return await self._schedule_once(request)
        wanted, etag = parse_definition(request.schedule, self._specs), request.schedule.etag
        judge = access()
        if not judge.everywhere:
            judge.check(wanted.queue, *chain_queues(request.schedule.job))
        act = self._schedules.rehearse if request.validate_only else self._schedules.define
        return schedule_service_pb2.ScheduleResponse(schedule=to_schedule(await act(wanted, etag, _owner(judge))))

    async def _schedule_once(self, request: schedule_service_pb2.ScheduleRequest) -> schedule_service_pb2.ScheduleResponse:
        schedule = request.schedule
        job = _once(schedule)
        try:
            draft = self._specs.draft(job.SerializeToString())
            check_draft(draft, access())
            job_id = draft.job.id
            if not request.validate_only:
                [answer] = await self._dispatch.many([draft])
                if isinstance(answer, JobsError):
                    raise answer
                job_id = job_of(answer, job_id)
        except JobsError as error:
            raise _named(error) from None
        stored = schedule_service_pb2.Schedule(spec=schedule.spec, job=schedule.job)
        stored.job.id = format_id(job_id)
        if schedule.spec.HasField("at"):
            stored.next_time.CopyFrom(schedule.spec.at)
        if not request.validate_only:
            stored.last_job_id = stored.job.id
        return schedule_service_pb2.ScheduleResponse(schedule=stored, job_id=stored.job.id)

    async def GetSchedule(
        self, request: schedule_service_pb2.GetScheduleRequest, _context: Context
    ) -> schedule_service_pb2.GetScheduleResponse:
        """Return one schedule."""
        found = await self._schedules.get(convert.check_name("name", request.name))
        _judge()(found.queue)
        return schedule_service_pb2.GetScheduleResponse(schedule=_shown(found))

    async def ListSchedules(
        self, request: schedule_service_pb2.ListSchedulesRequest, _context: Context
    ) -> schedule_service_pb2.ListSchedulesResponse:
        """Return a page of schedules, shorter than asked for where they are large."""
        size = convert.parse_page_size(request.page_size)
        pages = Pages(request)
        after = pages.name(request.page_token)
        page: list[schedule_service_pb2.Schedule] = []
        taken = 0
        while len(page) < size and taken < _PAGE_BYTES:
            some = await self._schedules.page(after, min(_SLICE, size - len(page)))
            if not some:
                return schedule_service_pb2.ListSchedulesResponse(schedules=page)
            page += [_shown(each) for each in some if access().may(each.queue)]
            taken += sum(len(each.template) for each in some)
            after = some[-1].name
        more = await self._schedules.page(after, 1)
        token = pages.after_name(after) if more else ""
        return schedule_service_pb2.ListSchedulesResponse(schedules=page, next_page_token=token)

    async def DeleteSchedule(
        self, request: schedule_service_pb2.DeleteScheduleRequest, _context: Context
    ) -> schedule_service_pb2.DeleteScheduleResponse:
        """Remove a schedule."""
        await self._schedules.delete(convert.check_name("name", request.name), request.etag, _judge())
        return schedule_service_pb2.DeleteScheduleResponse()

    async def PauseSchedule(
        self, request: schedule_service_pb2.PauseScheduleRequest, _context: Context
    ) -> schedule_service_pb2.PauseScheduleResponse:
        """Stop its ticks."""
        await self._schedules.pause(convert.check_name("name", request.name), _judge())
        return schedule_service_pb2.PauseScheduleResponse()

    async def ResumeSchedule(
        self, request: schedule_service_pb2.ResumeScheduleRequest, _context: Context
    ) -> schedule_service_pb2.ResumeScheduleResponse:
        """Let it tick again."""
        await self._schedules.resume(convert.check_name("name", request.name), _judge())
        return schedule_service_pb2.ResumeScheduleResponse()

    async def TriggerSchedule(
        self, request: schedule_service_pb2.TriggerScheduleRequest, _context: Context
    ) -> schedule_service_pb2.TriggerScheduleResponse:
        """Make a job of the schedule now."""
        name = convert.check_name("name", request.name)
        job_id = ids.parse_id(request.job_id, "job_id") if request.job_id else JobId(uuid7().bytes)
        try:
            stored = await self._schedules.trigger(name, job_id, _judge())
        except JobIdTime:
            raise JobIdTime.at("job_id", self._store_time.now()) from None
        return schedule_service_pb2.TriggerScheduleResponse(job_id=format_id(stored))

    async def PreviewSchedule(
        self, request: schedule_service_pb2.PreviewScheduleRequest, _context: Context
    ) -> schedule_service_pb2.PreviewScheduleResponse:
        """Return the next ticks of a spec, saved or not."""
        count, start = parse_count(request.count), parse_from(request)
        if request.WhichOneof("source") == "spec":
            times = self._preview(request.spec, start, count)
        else:
            times = await self._schedules.preview(convert.check_name("name", request.name), start, count, _judge())
        return schedule_service_pb2.PreviewScheduleResponse(times=[to_timestamp(at) for at in times])

    def _preview(self, spec: schedule_service_pb2.ScheduleSpec, start: datetime | None, count: int) -> list[datetime]:
        now = self._store_time.now()
        match spec.WhichOneof("when"):
            case "at":
                once = convert.parse_run_time("spec.at", spec.at, now)
            case "in":
                once = now + convert.parse_span("spec.in", getattr(spec, "in"), now - now, bounds.MAX_DELAY)
            case _:
                return self._schedules.preview_spec(parse_spec(spec, "spec"), start, count)
        return [once] if start is None or once >= start else []


def _judge() -> Judge:
    """Return what judges a stored schedule by its queue, on any thread; it raises ScheduleNotFound, PermissionDenied."""
    judge = access()

    def check(queue: str) -> None:
        judge.check_stored(queue, ScheduleNotFound)

    return check


def _owner(judge: Access) -> Judge:
    """Return what keeps a schedule from being redefined by who may not change it; it does not tell whose it is."""

    def check(queue: str) -> None:
        if not judge.may(queue):
            raise PermissionDenied("another schedule has this name, on a queue that is not yours to operate")

    return check


def _shown(schedule: Schedule) -> schedule_service_pb2.Schedule:
    """Return a schedule; without payload and headers of its jobs where the caller may not see them."""
    found = to_schedule(schedule)
    if not access().shows(schedule.queue):
        strip(found.job)
    return found


def _once(schedule: schedule_service_pb2.Schedule) -> job_pb2.JobSpec:
    """Return the spec of the one job that a schedule asks for. Raises InvalidField."""
    for field, _ in schedule.ListFields():
        if field.name in _OF_REPEATED:
            raise InvalidField(f"schedule.{field.name}", "is for what repeats: at and in make one job, known by its id")
    for field, _ in schedule.spec.ListFields():
        if field.name in _OF_REPEATED_SPECS:
            raise InvalidField(f"schedule.spec.{field.name}", "is for what repeats: at and in make one job")
    job = job_pb2.JobSpec()
    job.CopyFrom(schedule.job)
    if (start := job.WhichOneof("start")) is not None:
        raise InvalidField(f"schedule.job.{start}", "must be unset: the schedule says when")
    if schedule.spec.HasField("at"):
        job.run_time.CopyFrom(schedule.spec.at)
    else:
        job.delay.CopyFrom(getattr(schedule.spec, "in"))
    return job


def _named(error: JobsError) -> JobsError:
    """Return an error of the job under the field that the caller set."""
    where = {"run_time": "schedule.spec.at", "delay": "schedule.spec.in"}
    if isinstance(error, InvalidField) and error.field in where:
        return InvalidField(where[error.field], error.detail)
    return under(error, "schedule.job")
