"""What people do in the console, in a real browser. The log of each page must stay empty: no error, nothing against the policy."""

import re

import pytest
from google.protobuf.duration_pb2 import Duration
from playwright.async_api import Browser, Page, expect
from protojobs.v1 import job_pb2, schedule_service_pb2

from tests.console.browser.conftest import BASE_PATH, opened, working
from tests.console.site import Site
from tests.wire.lease_worker import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEVER_AGAIN = job_pb2.RetryPolicy(max_retries=0)
NAMELESS = """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), textarea, summary")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.innerText?.trim() || each.ariaLabel || each.labels?.length || each.title))
  .map((each) => each.outerHTML)"""

FOCUS = """() => {
  const controls = [...document.querySelectorAll("main a, main button, main input")];
  return controls.indexOf(document.activeElement);
}"""


async def failed_job(site: Site, queue: str = "payments") -> str:
    """Return the id of a job that has failed for good."""
    [job_id] = await site.service.dispatch(queue=queue, kind="Charge", payload=b'{"card": "expired"}', retry=NEVER_AGAIN)
    await site.service.becomes(job_id, job_pb2.JOB_STATE_FAILED)
    return job_id


async def test_a_failed_job_is_edited_retried_and_seen_to_complete(page: Page, site: Site, faults: list[str]) -> None:
    job_id = await failed_job(site)
    await page.goto("jobs?state=failed")

    await page.get_by_role("link", name=f"Edit and retry {job_id}").click()
    await page.get_by_label("Payload").fill('{"card": ')
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("alert")).to_contain_text("This is not JSON: line 1, column 10")
    assert all("422" in fault for fault in faults)
    faults.clear()
    await page.get_by_label("Payload").fill('{"card": "new"}')
    await page.get_by_role("button", name="Retry").click()

    await expect(page.get_by_role("status")).to_have_text("The job runs again.")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")
    await expect(page.get_by_text('"receipt": "R-1"')).to_be_visible()
    await expect(page.get_by_text("then retried by hand")).to_be_visible()
    assert "done=" not in page.url


async def test_an_error_is_shown_as_it_was_written(page: Page, site: Site) -> None:
    job_id = await failed_job(site)

    await page.goto(f"jobs/{job_id}")

    await expect(page.get_by_text("the card is <b>expired</b>").first).to_be_visible()
    await page.get_by_text("Stack").first.click()
    await expect(page.get_by_text("Traceback").first).to_be_visible()


async def test_a_queue_is_paused_after_a_question_and_resumed_without(page: Page, site: Site) -> None:
    await site.service.dispatch(queue="letters")
    await page.goto("")

    await page.get_by_role("button", name="Pause letters").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Pause queue letters?")
    await page.get_by_role("button", name="Not now").click()
    await expect(page.get_by_role("button", name="Pause letters")).to_be_visible()
    await page.get_by_role("button", name="Pause letters").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    await expect(page.locator("#q-letters")).to_contain_text("paused")
    await page.get_by_role("button", name="Resume letters").click()

    await expect(page.get_by_role("button", name="Pause letters")).to_be_visible()


async def test_the_first_page_follows_what_happens_and_draws_it(page: Page, site: Site) -> None:
    await site.service.dispatch(queue="stamps")
    await page.goto("")
    await page.evaluate("window.stayed = true")

    await site.service.dispatch(6, queue="stamps")

    await expect(page.get_by_role("link", name="7 pending")).to_be_visible()
    await expect(page.locator(".chart canvas")).to_have_count(2)
    await expect(page.locator("[data-now=waiting]")).to_have_text(re.compile(r"^\d+$"))
    assert await page.evaluate("window.stayed")


async def test_the_live_view_stands_still_while_it_is_paused(page: Page, site: Site) -> None:
    await site.service.dispatch(queue="cards")
    await page.clock.install()
    await page.goto("")
    await page.keyboard.press("p")
    await expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.clock.run_for(20_000)
    await site.service.dispatch(queue="cards")
    assert asked == []
    await page.keyboard.press("p")

    await expect(page.locator("#q-cards").get_by_role("link", name="2 pending")).to_be_visible()


async def test_what_is_open_and_chosen_stays_so_when_the_page_refreshes(page: Page, site: Site) -> None:
    await make_schedule(site, "folded")
    await page.goto("schedules")
    await page.locator("#s-folded summary").click()
    await page.get_by_role("heading", level=1).click()

    async with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        pass
    await make_schedule(site, "fresh")

    await expect(page.locator("#s-fresh")).to_be_visible()
    await expect(page.locator("#n-folded li").first).to_be_visible()


async def test_a_filter_is_written_kept_in_the_address_and_taken_back(page: Page, site: Site) -> None:
    [wanted] = await site.service.dispatch(queue="filter", kind="Find", labels={"customer": "77"})
    await site.service.dispatch(2, queue="filter", kind="Other")
    await page.goto("jobs?queue=filter")

    await page.keyboard.press("/")
    await page.keyboard.type('kind = Find and label.customer = "77"')
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("link", name=wanted)).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert "expression=kind" in page.url
    await page.go_back()
    await expect(page.locator("tbody tr")).to_have_count(3)


async def test_chosen_jobs_are_counted_and_deleted_after_a_look(page: Page, site: Site) -> None:
    await site.service.dispatch(3, queue="bulk")
    await page.goto("jobs?queue=bulk")
    await expect(page.get_by_role("button", name="Delete …")).to_be_disabled()

    await page.get_by_label("Choose all on this page").check()
    await expect(page.locator("#chosen")).to_have_text("3")
    await page.get_by_role("button", name="Delete …").click()
    await page.get_by_role("button", name="Delete 3 jobs").click()

    await expect(page.get_by_role("status")).to_have_text("3 jobs are deleted; 0 were left alone.")
    await expect(page.get_by_text("No job matches")).to_be_visible()


async def make_schedule(site: Site, name: str) -> None:
    """Store a schedule of a charge that works."""
    job = job_pb2.JobSpec(kind="Charge", queue="payments", payload=b'{"card": "good"}')
    when = schedule_service_pb2.ScheduleSpec(cron="0 5 * * *", time_zone="Europe/Berlin")
    schedule = schedule_service_pb2.Schedule(name=name, spec=when, job=job)
    await site.peer.schedules.Schedule(schedule_service_pb2.ScheduleRequest(schedule=schedule))


async def test_a_schedule_is_run_now_and_its_job_seen_to_complete(page: Page, site: Site) -> None:
    await make_schedule(site, "nightly")
    await page.goto("schedules")

    await page.get_by_role("button", name="Run now nightly").click()

    await expect(page.get_by_role("status")).to_have_text("This is the job that the schedule made.")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("completed")


async def test_a_worker_is_drained_after_a_question(page: Page, site: Site) -> None:
    async with working(site, "leaver", "elsewhere"):
        await page.goto("workers")
        row = page.get_by_role("row").filter(has_text="leaver")

        await page.get_by_role("button", name="Drain leaver").click()
        await page.get_by_role("dialog").get_by_role("button", name="Drain").click()

        await expect(page.get_by_role("status")).to_contain_text("takes nothing new")
        await expect(row.get_by_role("button")).to_have_count(0)


async def test_the_theme_follows_the_system_until_somebody_chooses(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="dark")
    await page.goto("")
    dark = await page.evaluate(background)

    await page.get_by_role("button", name="Theme: auto").click()
    light = await page.evaluate(background)
    await page.reload()

    await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert await page.evaluate(background) == light != dark
    await page.keyboard.press("t")
    assert await page.evaluate(background) == dark


async def test_every_page_is_a_chord_away(page: Page) -> None:
    await page.goto("")

    for key, path in (("j", "/jobs"), ("s", "/schedules"), ("w", "/workers"), ("q", "/"), ("f", "/jobs?state=failed")):
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_url(f"**{path}")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("to the filter")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_every_control_is_reached_by_tab_and_has_a_name(page: Page, site: Site) -> None:
    await failed_job(site)
    await page.goto("jobs?state=failed")
    await page.keyboard.press("p")
    reachable = "[...document.querySelectorAll('main a, main button:enabled, main input:not([type=hidden])')].length"
    expected = await page.evaluate(reachable)

    reached: set[int] = set()
    for _ in range(expected + 40):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate(FOCUS))

    # Of the two radio buttons Tab reaches the one that is chosen; arrows do the rest.
    assert len(reached - {-1}) == expected - 1
    for path in ("", "queues/payments", "jobs", "schedules", "workers"):
        await page.goto(path)
        assert await page.evaluate(NAMELESS) == []


async def test_focus_can_be_seen(page: Page) -> None:
    await page.goto("jobs")

    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")

    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def test_times_are_the_readers_own_with_utc_at_hand(page: Page, site: Site) -> None:
    job_id = await failed_job(site)

    await page.goto(f"jobs/{job_id}")

    time = page.locator("dl.facts time").first
    stamp = await time.get_attribute("datetime") or ""
    hour = (int(stamp[11:13]) + 9) % 24
    await expect(time).to_have_text(re.compile(f", {hour:02}:{stamp[14:16]}:{stamp[17:19]}$"))
    assert f"{stamp[:10]} {stamp[11:-1]} UTC" in (await time.get_attribute("title") or "")


async def test_a_telephone_scrolls_no_page_sideways(page: Page, site: Site) -> None:
    await failed_job(site)
    await page.set_viewport_size({"width": 390, "height": 800})

    for path in ("", "queues/payments", "jobs", "schedules", "workers"):
        await page.goto(path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


@pytest.mark.parametrize("width", [390, 1280])
async def test_long_names_leave_a_page_in_its_width_and_its_rows_low(page: Page, site: Site, width: int) -> None:
    name = "n" * 100
    [job_id] = await site.service.dispatch(queue=name, kind=name, labels={"customer": name}, delay=Duration(seconds=3600))
    async with working(site, name, name):
        await eventually(lambda: site.page("/workers"), lambda found: name in found.text)
        await page.set_viewport_size({"width": width, "height": 800})

        for path in ("", f"queues/{name}", f"jobs?queue={name}", f"jobs/{job_id}", f"workers?queue={name}"):
            await page.goto(path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
            heights = await page.locator(".scroll tbody tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
            assert max(heights, default=0) < 200, path


async def test_errors_of_failed_jobs_are_read_beside_their_buttons_without_scrolling(page: Page, site: Site) -> None:
    await failed_job(site)
    await page.set_viewport_size({"width": 1280, "height": 800})

    await page.goto("jobs?state=failed")

    hidden = await page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth")
    assert hidden == 0


async def test_on_a_telephone_no_button_lies_over_what_is_behind_it(page: Page, site: Site) -> None:
    job_id = await failed_job(site)
    await page.set_viewport_size({"width": 390, "height": 800})
    await page.goto("jobs?state=failed&queue=payments")

    link = page.get_by_role("link", name=job_id, exact=True)
    await link.scroll_into_view_if_needed()

    assert await link.evaluate(
        "each => [...each.getClientRects()].every(({ x, y, height }) => document.elementFromPoint(x + 4, y + height / 2) === each)"
    )
    assert await page.locator("td.acts").first.evaluate("each => getComputedStyle(each).position") == "static"


async def test_the_page_says_in_which_zone_its_times_are(page: Page) -> None:
    await page.goto("schedules")

    await expect(page.get_by_role("contentinfo")).to_have_text("Times are in Asia/Tokyo; UTC is in their titles.")


async def test_a_live_page_whose_server_is_gone_says_since_when(page: Page, faults: list[str]) -> None:
    await page.clock.install()
    await page.goto("")
    await page.route("**/*", lambda route: route.abort())

    await page.clock.run_for(4000)

    await expect(page.locator("#live-switch")).to_have_text(re.compile(r"No answer since \d\d:\d\d:\d\d"))
    await page.unroute_all(behavior="wait")
    await page.close()
    faults.clear()  # the browser and htmx log each page that did not come, and it asked again and again


async def test_hostile_text_is_drawn_and_does_nothing(page: Page, site: Site) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\u202egpj.exe"
    [job_id] = await site.service.dispatch(
        queue="evil", payload=hostile.encode(), content_type="text/plain", labels={"name": hostile}
    )

    await page.goto("jobs?queue=evil")
    await page.get_by_role("link", name=job_id).click()

    await expect(page.locator("pre.payload")).to_have_text(hostile.replace("\u202e", "[U+202E]"))
    await expect(page.locator("main img, main script")).to_have_count(0)


async def test_below_a_path_every_link_form_and_asset_stays_below_it(browser: Browser, site_below: Site, faults: list[str]) -> None:
    [job_id] = await site_below.service.dispatch(queue="letters")
    async with opened(browser, site_below, faults) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(str(site_below.http.base_url))))
        await page.goto("")

        await page.get_by_role("button", name="Pause letters").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator("#q-letters")).to_contain_text("paused")
        await page.wait_for_load_state()  # keys mean something once the script is there
        await page.keyboard.press("g")
        await page.keyboard.press("j")
        await page.get_by_role("link", name=job_id).click()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")

    assert [url for url in asked if not f"/{url.lstrip('/')}".startswith(BASE_PATH)] == []


async def test_an_observer_sees_no_button_that_changes_anything(
    browser: Browser, site_of_observer: Site, faults: list[str]
) -> None:
    site = site_of_observer
    [job_id] = await site.service.dispatch(queue="letters", payload=b'"secret"')
    await make_schedule(site, "nightly")
    async with working(site, "idle", "elsewhere"), opened(browser, site, faults) as page:
        await eventually(lambda: site.page("/workers"), lambda found: "idle" in found.text)
        await page.context.add_cookies([{"name": "pj", "value": "ticket", "url": str(site.http.base_url)}])

        for path in ("", "queues/letters", "jobs", "jobs?state=failed", f"jobs/{job_id}", "schedules", "workers"):
            await page.goto(path)
            await expect(page.locator("main form[method=post] button")).to_have_count(0)
        await page.goto(f"jobs/{job_id}")

        await expect(page.get_by_text("Only operators see payloads.")).to_be_visible()
        await expect(page.get_by_text("read only")).to_be_visible()
        await expect(page.get_by_role("link", name="Tokens")).to_have_count(0)
