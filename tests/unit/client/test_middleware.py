"""Hooks around dispatches may change a job, refuse it, and hear what became of it."""

import logging
from datetime import timedelta

import pytest
from protojobs_client import ClientMiddleware, DispatchResult, JobId, JobQueued, JobRequest, Refused
from protojobs_client.errors import QueueFullError
from protojobs_client.middleware import ClientHooks
from protojobs_client.testing import FakeAsyncClient, FakeClient


class Tenant(ClientMiddleware):
    def __init__(self) -> None:
        self.heard: list[DispatchResult] = []

    def queuing(self, request: JobRequest) -> JobRequest:
        return request.header("tenant", "acme").on_queue(f"acme.{request.options.queue or 'default'}")

    def queued(self, request: JobRequest, result: DispatchResult) -> None:
        self.heard.append(result)


@pytest.mark.asyncio
async def test_hooks_see_every_way_to_dispatch_one_job() -> None:
    heard: list[JobQueued] = []
    async with FakeAsyncClient() as fake:
        fake.on("job.queuing", lambda request: request.header("tenant", "acme"))
        fake.on("job.queued", heard.append)

        await fake.dispatch("one")
        await fake.dispatch_later("two", None, 5)
        await fake.dispatch_many([JobRequest("three"), JobRequest("four")])
        await fake.schedule_in("five", None, timedelta(1))

    assert [job.headers["tenant"] for job in fake.dispatched()] == ["acme"] * 5
    assert [each.request.kind for each in heard] == ["one", "two", "three", "four", "five"]
    assert [each.result.job_id for each in heard] == [job.id for job in fake.dispatched()]


def test_a_hook_refuses_a_job_before_anything_is_sent() -> None:
    with FakeClient() as fake:

        @fake.on("job.queuing")
        def only_small(request: JobRequest) -> None:
            if request.data == "large":
                raise ValueError("too large for us")

        with pytest.raises(ValueError, match="too large"):
            fake.dispatch("kind", "large")
        with pytest.raises(ValueError, match="too large"):
            fake.dispatch_many([JobRequest("kind", "small"), JobRequest("kind", "large")])
        fake.assert_nothing_dispatched()
        fake.dispatch("kind", "small")

    fake.assert_dispatched("kind", times=1)


def test_middleware_wraps_in_order_and_hears_refusals() -> None:
    tenant = Tenant()
    hooks = ClientHooks([tenant])
    hooks.add("job.queuing", lambda request: request.on_queue("x." + (request.options.queue or "")))

    request = hooks.before(JobRequest("kind"))
    hooks.after([request], [Refused(job_id=JobId("1"), error=QueueFullError("full"))])

    assert request.options.queue == "x.acme.default"
    assert isinstance(tenant.heard[0], Refused)


def test_an_error_in_a_hook_of_what_is_stored_is_logged_only(caplog: pytest.LogCaptureFixture) -> None:
    with FakeClient() as fake, caplog.at_level(logging.ERROR):
        fake.on("job.queued", lambda _queued: 1 / 0)

        job_id = fake.dispatch("kind", "secret").job_id

    assert fake.dispatched()[0].id == job_id
    assert [record.message for record in caplog.records] == ["hook failed"]
    assert "secret" not in caplog.text


def test_a_hook_that_returns_something_else_and_an_unknown_event_are_told() -> None:
    with FakeClient() as fake:
        fake.on("job.queuing", lambda request: request.options)
        with pytest.raises(TypeError, match="JobRequest or None"):
            fake.dispatch("kind")
        with pytest.raises(ValueError, match=r"there are job\.queuing, job\.queued"):
            fake.on("job.stored", print)  # type: ignore[arg-type]
