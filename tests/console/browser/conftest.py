"""One Chromium, one server with a worker, and a fresh page for each test, whose log must stay empty."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect
from protojobs_worker import JobContext, Worker

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.console.site import OBSERVER, OneVisitor, Site, serving

PATIENCE_MS = 15_000
BASE_PATH = "/ops/jobs"


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser of this machine."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}browser tests: needs chromium fonts-dejavu-core")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Run the browser."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        # Its own sandbox cannot be made by root or in most containers; what it visits is ours.
        running = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Run a server whose console anybody may use, and a worker."""
    async with serving(tmp_path_factory.mktemp("site")) as running, working(running, "till-1", "payments"):
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site_below(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Run a server whose console is below a path, as behind a proxy."""
    async with serving(tmp_path_factory.mktemp("below"), console={"base_path": BASE_PATH}) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site_of_observer(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Run a server whose console is visited by an observer."""
    async with serving(tmp_path_factory.mktemp("observer"), visitor=OneVisitor(OBSERVER)) as running:
        yield running


@asynccontextmanager
async def working(site: Site, name: str, queue: str) -> AsyncGenerator[None]:
    """Run a worker that charges cards: an expired one cannot be charged."""
    worker = Worker(site.server.address, queues=[queue], name=name, concurrency=2, stop_grace=1)

    @worker.handler("Charge")
    async def charge(ctx: JobContext) -> dict[str, str]:
        if ctx.data["card"] == "expired":
            raise ConnectionError("the card is <b>expired</b>")
        return {"receipt": "R-1"}

    async with asyncio.TaskGroup() as tasks:
        serving_jobs = tasks.create_task(worker.serve())
        yield
        worker.stop(now=True)
        await serving_jobs


@pytest.fixture
def faults() -> Iterator[list[str]]:
    """Collect what the browser complains of; there must be nothing at the end."""
    found: list[str] = []
    yield found
    assert found == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, site: Site, faults: list[str]) -> AsyncIterator[Page]:
    """Open a page of the site in a browser that has never been there."""
    async with opened(browser, site, faults) as page:
        yield page


@asynccontextmanager
async def opened(browser: Browser, site: Site, faults: list[str]) -> AsyncGenerator[Page]:
    """Open a page of a site. What breaks the policy, throws, or asks for what is not there ends in `faults`."""
    context = await browser.new_context(
        base_url=f"{str(site.http.base_url).rstrip('/')}{site.base}/",
        viewport={"width": 1280, "height": 800},
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Asia/Tokyo",
    )
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: faults.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.on("response", lambda answer: faults.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    yield page
    await context.close()
