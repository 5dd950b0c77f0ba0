"""What stands before every page of the console."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from protojobs_service.admin.body import Intake
from protojobs_service.admin.refusal import HttpRefusal
from protojobs_service.admin.security import HEADERS
from protojobs_service.domain.errors import StoreUnavailable
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.unit.admin.stand import MOST_BYTES, Browser, Stand, every

pytestmark = pytest.mark.asyncio

UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]
ODD = ["GET", "HEAD", "OPTIONS", "TRACE", *UNSAFE]


def _sealed(answer: httpx.Response) -> bool:
    return all(answer.headers.get(name) == value for name, value in HEADERS.items())


@pytest.mark.parametrize("asks", [True, False])
async def test_every_answer_has_the_headers_whatever_is_asked_for(asks: bool) -> None:
    stand = Stand(asks=asks)
    browser = stand.browser()
    await browser.login()

    for path, _ in [*every(stand.routes), ("/nowhere", frozenset[str]()), ("/static/../desk.py", frozenset[str]())]:
        for method in ODD:
            for headers in ({}, {"origin": browser.place}, {"host": "evil.example"}, {"content-length": "99999999"}):
                answer = await browser.http.request(method, path, headers=headers)

                assert _sealed(answer), (method, path, headers, answer.status_code)
                assert answer.headers["strict-transport-security"] == "max-age=31536000"
                assert answer.headers["cache-control"] in {"no-store", "no-cache"}


async def test_only_what_is_static_may_be_kept() -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login()

    kept = {path for path, _ in every(stand.routes) if (await browser.get(path)).headers["cache-control"] != "no-store"}

    assert kept == {"/static/console.css"}


@pytest.mark.parametrize("method", UNSAFE)
async def test_every_unsafe_request_needs_an_origin_of_ours_and_the_token_of_a_form(method: str) -> None:
    stand = Stand()
    ours, theirs = stand.browser(), stand.browser()
    await ours.login()
    await theirs.login()
    own = {"origin": ours.place}
    foreign = await _csrf(theirs)
    token = await _csrf(ours)
    attempts: list[tuple[str, dict[str, str], dict[str, str]]] = [
        ("no page", {}, {"csrf": token}),
        ("another origin", {"origin": "https://evil.example"}, {"csrf": token}),
        ("another port", {"origin": f"{ours.place}:8443"}, {"csrf": token}),
        ("another scheme", {"origin": "http://jobs.example.com"}, {"csrf": token}),
        ("a sandbox", {"origin": "null"}, {"csrf": token}),
        ("another site", {"sec-fetch-site": "cross-site"}, {"csrf": token}),
        ("a sister site", {"sec-fetch-site": "same-site", **own}, {"csrf": token}),
        ("no token", own, {}),
        ("an empty token", own, {"csrf": ""}),
        ("a token of somebody else", own, {"csrf": foreign}),
        ("a token in another alphabet", own, {"csrf": "é"}),
    ]

    for path, _ in every(stand.routes):
        for why, headers, form in attempts:
            answer = await ours.http.request(method, path, headers=headers, data=form)

            assert answer.status_code == 403, (why, path)
    assert (await ours.get("/")).status_code == 200  # the session has outlived them all


async def test_a_form_with_its_token_reaches_its_page_by_field_and_by_header() -> None:
    stand, seen = Stand(), list[dict[str, str]]()

    async def take(request: Request) -> Response:
        seen.append(dict(stand.console.form(request)))
        return stand.console.go("/")

    stand.routes.append(Route("/take", take, methods=["POST"]))
    browser = stand.browser()
    await browser.login()
    token = await _csrf(browser)
    own = {"origin": browser.place, "sec-fetch-site": "same-origin"}

    by_field = await browser.http.post("/take", data={"csrf": token, "a": "é &"}, headers=own)
    by_header = await browser.http.post("/take", data={"a": "b"}, headers={**own, "x-csrf-token": token})
    empty = await browser.http.post("/take", headers={**own, "x-csrf-token": token})

    assert [each.status_code for each in (by_field, by_header, empty)] == [303, 303, 303]
    assert seen == [{"csrf": token, "a": "é &"}, {"a": "b"}, {}]


async def _csrf(browser: Browser) -> str:
    """Return the token in the logout form of the first page."""
    return (await browser.get("/")).text.partition('name="csrf" value="')[2].partition('"')[0]


async def test_every_page_but_the_login_leads_strangers_to_it() -> None:
    stand = Stand()
    stranger = stand.browser()

    for path, methods in every(stand.routes):
        if path.startswith("/static") or path == "/login":
            continue
        for method in methods - {"HEAD"}:
            answer = await stranger.http.request(method, path, headers={"origin": stranger.place})

            led = (answer.status_code, answer.headers.get("location"))
            login = "/login" if path == "/" else f"/login?{urlencode({'back': path})}"
            assert led == ((303, login) if method == "GET" else (401, None)), (method, path)


async def test_a_part_of_a_page_sends_the_whole_page_to_the_login() -> None:
    answer = await Stand().browser().get("/", **{"hx-request": "true"})

    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (401, "/login", "")


async def test_the_form_of_a_stranger_is_answered_with_a_way_to_the_login() -> None:
    stand = Stand(base="/ops")
    stranger = stand.browser()

    answer = await stranger.http.post("/ops/logout", headers={"origin": stranger.place})

    assert answer.status_code == 401
    assert "nothing was changed" in answer.text
    assert 'href="/ops/login"' in answer.text


async def test_strangers_cannot_make_us_read_much() -> None:
    stand = Stand()

    answer = await stand.browser().post("/login", {"token": "x" * 9000})

    assert (answer.status_code, "the body has more than 8192 bytes" in answer.text) == (413, True)


@pytest.mark.parametrize("announced", [True, False])
async def test_forms_are_bounded(announced: bool) -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login()

    async def pieces() -> Any:
        for _ in range(MOST_BYTES // 1024 + 1):
            yield b"a" * 1024

    content = b"a" * (MOST_BYTES + 1) if announced else pieces()
    answer = await browser.http.post("/logout", content=content, headers={"origin": browser.place})

    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=b", "multipart/form-data; boundary=x", 415),
        (b"a=b", "", 415),
        (b"a", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"a=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=b" for _ in range(2001)), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_what_is_no_form_is_refused(content: bytes, kind: str, status: int) -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login()

    answer = await browser.http.post("/logout", content=content, headers={"origin": browser.place, "content-type": kind})

    assert answer.status_code == status


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    never = asyncio.Event()

    async def receive() -> Any:
        await never.wait()

    intake = Intake(100, most_at_once=100, seconds=0)

    with pytest.raises(HttpRefusal) as refusal:
        await intake.read(_request(receive))

    assert (refusal.value.status_code, refusal.value.headers) == (408, {"connection": "close"})


async def test_a_body_of_one_piece_that_is_too_large_is_refused_as_that() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"a" * 101, "more_body": False}

    with pytest.raises(HttpRefusal) as refusal:
        await Intake(100, most_at_once=100).read(_request(receive))

    assert refusal.value.status_code == 413


async def test_bodies_on_the_way_are_bounded_together_and_counted_until_they_have_ended() -> None:
    intake = Intake(100, most_at_once=150)
    paused = asyncio.Event()
    half = [{"type": "http.request", "body": b"a" * 80, "more_body": True}]

    async def slow() -> Any:
        if half:
            return half.pop()
        paused.set()
        return await asyncio.Event().wait()

    async def quick() -> Any:
        return {"type": "http.request", "body": b"a" * 80, "more_body": False}

    first = asyncio.create_task(intake.read(_request(slow)))
    await paused.wait()
    with pytest.raises(HttpRefusal) as refusal:
        await intake.read(_request(quick))
    first.cancel()
    await asyncio.wait([first])

    assert (refusal.value.status_code, refusal.value.headers["retry-after"]) == (429, "1")
    assert await intake.read(_request(quick)) == b"a" * 80


def _request(receive: Any) -> Request:
    return Request({"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b""}, receive)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("jobs.example.com", 200),
        ("JOBS.example.com.:8443", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("evil.example", 421),
        ("jobs.example.com.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("jobs.example.com@evil.example", 421),
        ("evil.example:jobs.example.com", 421),
        ("[jobs.example.com]", 421),
        ("", 421),
    ],
)
async def test_a_name_that_is_not_ours_is_refused(host: str, status: int) -> None:
    stand = Stand(asks=False)

    answer = await stand.browser().get("/", host=host)

    assert answer.status_code == status


async def test_a_page_that_fails_says_so_with_an_id_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand(asks=False)

    async def fail(_: Request) -> Response:
        raise RuntimeError("secret of the page")

    async def away(_: Request) -> Response:
        raise StoreUnavailable

    stand.routes += [Route("/fail", fail), Route("/away", away)]
    browser = stand.browser()

    answers = [await browser.get("/fail"), await browser.get("/away")]

    assert [(each.status_code, _sealed(each)) for each in answers] == [(500, True), (503, True)]
    assert "internal error " in answers[0].text
    assert "secret" not in answers[0].text
    assert "RuntimeError" in caplog.text


async def test_what_names_say_is_rendered_as_text() -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login()

    page = (await browser.get("/")).text

    assert ("&lt;b&gt;Ann&lt;/b&gt;" in page, "<b>" in page) == (True, False)


async def test_no_page_holds_script_or_style_of_its_own() -> None:
    stand = Stand()
    browser = stand.browser()
    pages = [await browser.get("/login")]
    await browser.login()
    pages += [await browser.get(path) for path, methods in every(stand.routes) if "GET" in methods]

    for page in pages:
        if page.headers.get("content-type", "").startswith("text/html"):
            assert not any(mark in page.text for mark in ("<style", "style=", " onclick=", "javascript:"))
            assert "<script>" not in page.text


async def test_a_request_keeps_its_id_and_a_bad_one_gets_another() -> None:
    browser = Stand(asks=False).browser()

    kept, other = await browser.get("/", **{"x-request-id": "abc"}), await browser.get("/", **{"x-request-id": "a" * 65})

    assert kept.headers["x-request-id"] == "abc"
    assert len(other.headers["x-request-id"]) == 16


async def test_the_console_stands_below_its_base_path() -> None:
    stand = Stand(base="/jobs", asks=False)
    browser = stand.browser()

    page = await browser.get("/")
    await browser.post("/logout", {})

    assert 'href="/jobs/static/console.css"' in page.text
    assert (await browser.get("/static/console.css")).status_code == 200
    assert (await browser.http.get("/static/console.css")).status_code == 404
