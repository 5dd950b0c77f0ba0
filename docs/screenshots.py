"""Take the pictures of docs/console.md: a server with work to do, in Debian's Chromium. `python docs/screenshots.py`."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import Page, async_playwright

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))  # run as a program, from anywhere

from docs.console_stage import stage  # noqa: E402

TARGET = DOCS / "console"
_WIDTH, _HEIGHT = 1280, 800
_WATCH_SECONDS = float(os.environ.get("WATCH_SECONDS", "75"))  # noqa: TID251 # a picture of charts needs minutes


async def main() -> None:
    """Write every picture, light and dark."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is missing; on Debian: sudo apt-get install chromium fonts-dejavu-core")
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        async with stage(Path(home)) as server, async_playwright() as playwright:
            # As root, and in containers, Chromium's own sandbox cannot be made. The pages are ours.
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = await browser.new_page(
                viewport={"width": _WIDTH, "height": _HEIGHT},
                locale="en-GB",
                timezone_id="Europe/Berlin",
                reduced_motion="reduce",
            )
            await take_all(page, f"http://{server.admin_address}")
            await browser.close()


async def take_all(page: Page, address: str) -> None:
    """Go from page to page, and take each as people of either taste see it."""
    await page.goto(address)
    await asyncio.sleep(_WATCH_SECONDS)
    await take(page, "queues")
    await page.goto(f"{address}/queues/emails")
    await take(page, "queue")
    await page.goto(f"{address}/jobs?state=failed")
    await take(page, "jobs")
    await page.click("td .id >> nth=0")
    await take(page, "job", full=True)
    await page.click("text=Edit and retry")
    await take(page, "edit", themes=["light"])
    await page.goto(f"{address}/jobs?state=running&kind=BuildReport")
    await page.click("td .id >> nth=0")
    await take(page, "running-job", themes=["light"])
    await page.goto(f"{address}/schedules")
    await page.click("summary >> nth=0")
    await take(page, "schedules")
    await page.goto(f"{address}/workers")
    await page.click("summary >> nth=0")
    await take(page, "workers")


async def take(page: Page, name: str, *, themes: Sequence[str] = ("light", "dark"), full: bool = False) -> None:
    """Write a picture for each theme."""
    for theme in themes:
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        await page.mouse.move(0, 0)
        await page.screenshot(path=TARGET / f"{name}-{theme}.png", full_page=full)


if __name__ == "__main__":
    asyncio.run(main())
