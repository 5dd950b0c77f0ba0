"""A server with something to see: queues that move, jobs in every state, schedules, a worker. For pictures of the console."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

from protojobs_client import AsyncClient, Jitter, Overlap, RetryPolicy
from protojobs_service.compose import RunningServer, start_server, upgrade_schema
from protojobs_service.settings import load
from protojobs_worker import JobContext, Worker

_QUEUES = ("emails", "images", "payments", "reports", "search")
_PER_SECOND = 12
_ONCE_MORE = RetryPolicy(max_retries=1, initial_backoff=timedelta(seconds=1), jitter=Jitter.NONE)
_NEVER_AGAIN = RetryPolicy(max_retries=0)


@contextlib.asynccontextmanager
async def stage(home: Path) -> AsyncGenerator[RunningServer]:
    """Run the server, a worker in it, and producers that go on as long as the context lasts."""
    settings = load(driver="sqlite", port=0, admin_port=0, sqlite={"path": home / "jobs.db"}, shutdown={"grace": 1})
    await upgrade_schema(settings)
    async with start_server(settings) as server, AsyncClient(server.address) as client, asyncio.TaskGroup() as tasks:
        worker = make_worker(server.address)
        working = tasks.create_task(worker.serve())
        await dispatch_telling_jobs(client)
        await make_schedules(client)
        await client.pause("search")
        producing = tasks.create_task(produce(client))
        try:
            yield server
        finally:
            producing.cancel()
            worker.stop(now=True)
            await asyncio.wait([working])


def make_worker(address: str) -> Worker:
    """Return a worker of all queues whose handlers take their time."""
    worker = Worker(address, queues=_QUEUES, concurrency=16, name="web-7f9c:4120", stop_grace=1)

    @worker.handler("SendEmail")
    async def send_email(ctx: JobContext) -> dict[str, str]:
        await asyncio.sleep(0.3)
        if ctx.data.get("to", "").endswith(".invalid"):
            raise LookupError(f"no mail server for {ctx.data['to'].partition('@')[2]}")
        return {"message_id": f"<{ctx.job_id}@shop.example>"}

    @worker.handler("ProcessImage")
    async def process_image(ctx: JobContext) -> dict[str, list[str]]:
        await asyncio.sleep(1.2)
        return {"made": [f"{ctx.data['source']}-{width}.jpg" for width in ctx.data["widths"]]}

    @worker.handler("ChargeCard")
    async def charge_card(ctx: JobContext) -> None:
        await asyncio.sleep(0.2)
        raise ConnectionError(f"gateway answered 503 for order {ctx.data['order']}")

    @worker.handler("BuildReport", timeout=600)
    async def build_report(ctx: JobContext) -> None:
        for page in range(ctx.data["pages"]):
            ctx.progress((page + 1) / ctx.data["pages"], f"page {page + 1} of {ctx.data['pages']}")
            await asyncio.sleep(2)

    return worker


async def dispatch_telling_jobs(client: AsyncClient) -> None:
    """Store what lists and pages of jobs should show."""
    for order in (1041, 1044, 1052, 1057):
        job = {"order": order, "amount": f"{order / 25:.2f}", "currency": "EUR", "customer": {"id": 77 + order, "tier": "gold"}}
        labels = {"customer": str(77 + order), "region": "eu"}
        await client.dispatch("ChargeCard", job, queue="payments", labels=labels, retry=_ONCE_MORE)
    await client.dispatch("SendEmail", {"to": "ann@mail.invalid"}, queue="emails", retry=_NEVER_AGAIN)
    for pages in (40, 90):
        await client.dispatch("BuildReport", {"pages": pages, "quarter": "2026-Q3"}, queue="reports", labels={"team": "finance"})
    for document in range(240):
        await client.dispatch("IndexDocument", {"document": document}, queue="search")
    await client.dispatch("SendEmail", {"to": "bob@example.com", "subject": "Your trial ends"}, queue="emails", delay=3600)


async def make_schedules(client: AsyncClient) -> None:
    """Make schedules of every form."""
    await client.schedule_cron(
        "BuildReport", {"pages": 12}, "0 6 * * mon-fri", queue="reports", name="morning-report", time_zone="Europe/Berlin"
    )
    await client.schedule_daily(
        "SendEmail", {"to": "ops@example.com"}, ["08:00", "18:00"], queue="emails", name="ops-digest", time_zone="America/New_York"
    )
    await client.schedule_every(
        "SendEmail", {"to": "probe@example.com"}, 30, queue="emails", name="mail-probe", overlap=Overlap.SKIP
    )
    await client.schedule_hourly("IndexDocument", {"document": "all"}, minute=15, queue="search", name="reindex")
    await client.pause_schedule("reindex")


async def produce(client: AsyncClient) -> None:
    """Dispatch mails and pictures, a little unevenly, until cancelled."""
    number = 0
    while True:
        number += 1
        await client.dispatch("SendEmail", {"to": f"user{number}@example.com", "subject": "Welcome"}, queue="emails")
        if number % 5 == 0:
            await client.dispatch("ProcessImage", {"source": f"photo-{number}", "widths": [320, 640]}, queue="images")
        await asyncio.sleep(1 / _PER_SECOND)
