"""Logging in to the console, what the browser keeps of it, and how it ends."""

import html

import httpx
import pytest
from protojobs_service.admin.attempts import Attempts
from protojobs_service.admin.refusal import HttpRefusal
from protojobs_service.admin.sessions import Visitor
from protojobs_service.domain.access import Grant, Principal, Scope
from protojobs_service.domain.errors import JobsError, QuotaExceeded, StoreUnavailable, TokenNotFound

from tests.unit.admin.stand import TOKEN, Browser, Stand

pytestmark = pytest.mark.asyncio


def _cookie(answer: httpx.Response, name: str) -> set[str]:
    """Return the parts of the cookie that an answer sets, in lower case."""
    [cookie] = [each for each in answer.headers.get_list("set-cookie") if each.startswith(f"{name}=")]
    return {part.strip().lower() for part in cookie.split(";")[1:]}


async def _shown(browser: Browser) -> tuple[int, bool]:
    """Return how the first page answers, and whether it shows somebody logged in."""
    page = await browser.get("/")
    return page.status_code, "Log out" in page.text


async def test_a_token_opens_a_session_of_its_own() -> None:
    stand = Stand()
    browser = stand.browser()

    answer = await browser.login(f" {TOKEN}\n")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert browser.http.cookies["__Host-pj"] == "session-1"
    assert await _shown(browser) == (200, True)
    assert (await browser.get("/login")).headers["location"] == "/"


@pytest.mark.parametrize(
    ("base", "place", "name", "path", "secure"),
    [
        ("/", "https://jobs.example.com", "__Host-pj", "/", True),
        ("/jobs", "https://jobs.example.com", "__Secure-pj", "/jobs", True),
        ("/", "https://localhost:8080", "__Host-pj", "/", True),
        ("/", "http://jobs.example.com", "__Host-pj", "/", True),
        ("/", "http://localhost:8080", "pj", "/", False),
        ("/jobs", "http://[::1]:8080", "pj", "/jobs", False),
    ],
)
async def test_the_cookies_are_as_closed_as_the_place_allows(base: str, place: str, name: str, path: str, secure: bool) -> None:
    stand = Stand(base=base)
    browser = stand.browser(place)
    # A proxy that ends TLS passes plain HTTP on: what the browser says of its origin counts.
    browser.place = place.replace("http://jobs", "https://jobs")
    expected = {"httponly", "samesite=lax", f"path={path}"} | ({"secure"} if secure else set())

    page = await browser.get("/login")
    browser.http.cookies = httpx.Cookies({f"{name}-visitor": "a"})
    answer = await browser.login()

    assert _cookie(page, f"{name}-visitor") == expected
    assert _cookie(answer, name) == expected | {"max-age=28800"}


async def test_a_token_that_proves_nobody_is_refused_and_its_call_too() -> None:
    stand = Stand()
    browser = stand.browser()

    answer = await browser.login("pj_0000000000000000_" + "0" * 64)

    assert (answer.status_code, "unknown, or has ended" in answer.text) == (401, True)
    assert "0000" not in answer.text
    assert stand.tokens.refused == ["pj_0000000000000000_" + "0" * 64]
    assert "__Host-pj" not in browser.http.cookies


async def test_logins_and_logouts_are_noted_without_their_secrets() -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login("x")
    await browser.login()
    await browser.post("/logout", {})

    assert [(each.rpc, each.target, each.principal, each.via, each.peer) for each in stand.noted] == [
        ("console/login", "1", "token:1", "console", "ipv4:192.0.2.1:4711"),
        ("console/logout", "session-1", "token:1", "console", "ipv4:192.0.2.1:4711"),
    ]


async def test_a_session_opens_no_other_session() -> None:
    stand = Stand()
    await stand.browser().login()

    answer = await stand.browser().login("session-1")

    assert (answer.status_code, "a session opens no session" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreUnavailable(), 503), (QuotaExceeded("too many live sessions of this token"), 429), (TokenNotFound(), 401)],
)
async def test_a_login_that_fails_says_whether_the_token_is_to_blame(error: JobsError, status: int) -> None:
    stand = Stand()
    stand.tokens.failure = error

    answer = await stand.browser().login()

    assert answer.status_code == status
    assert "__Host-pj" not in answer.cookies


async def test_a_token_is_no_session_and_no_logout_ends_it() -> None:
    stand = Stand()
    browser = stand.browser()
    browser.http.cookies = httpx.Cookies({"__Host-pj": TOKEN})

    assert await _shown(browser) == (303, False)
    await browser.login()

    assert TOKEN in stand.tokens.live


async def test_a_form_without_a_token_is_refused() -> None:
    answer = await Stand().browser().post("/login", {})

    assert answer.status_code == 401


@pytest.mark.parametrize("forged", ["x", "session-2", TOKEN[:-1] + "b", "é", "a" * 4000, "a b; c"])
async def test_a_forged_cookie_is_nobody_and_is_refused_as_a_call(forged: str) -> None:
    stand = Stand()
    await stand.browser().login()
    browser = stand.browser()

    answer = await browser.http.get("/", headers=[(b"cookie", f"__Host-pj={forged}".encode())])

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert len(stand.tokens.refused) == 1
    assert "max-age=0" in _cookie(answer, "__Host-pj")


async def test_the_cookie_of_another_kind_of_place_is_no_session() -> None:
    stand = Stand()
    await stand.browser().login()

    plain = await stand.browser().http.get("/", headers={"cookie": "pj=session-1; __Secure-pj=session-1"})

    assert plain.status_code == 303


async def test_what_was_stolen_ends_with_the_logout() -> None:
    stand = Stand()
    browser, thief = stand.browser(), stand.browser()
    await browser.login()
    thief.http.cookies = httpx.Cookies({"__Host-pj": browser.http.cookies["__Host-pj"]})
    assert await _shown(thief) == (200, True)

    answer = await browser.post("/logout", {})

    assert (answer.headers["location"], "max-age=0" in _cookie(answer, "__Host-pj")) == ("/login", True)
    assert await _shown(thief) == (303, False)
    assert stand.tokens.live.keys() == {TOKEN}


async def test_a_session_that_has_ended_leads_to_the_login_and_its_forms_do_nothing() -> None:
    stand = Stand()
    browser = stand.browser()
    await browser.login()
    token = (await browser.get("/")).text.partition('name="csrf" value="')[2].partition('"')[0]
    del stand.tokens.live["session-1"]

    form = await browser.http.post("/logout", data={"csrf": token}, headers={"origin": browser.place})

    assert form.status_code == 401
    assert await _shown(browser) == (303, False)


async def test_who_logs_in_again_leaves_the_session_before() -> None:
    stand = Stand()
    stand.tokens.live["other"] = Principal(id="token:2", name="Bob", grants=(Grant(Scope.ADMIN),), token_id="2")
    browser = stand.browser()
    await browser.login()
    assert stand.tokens.live.keys() == {TOKEN, "other", "session-2"}

    await browser.login("other")

    assert stand.tokens.live.keys() == {TOKEN, "other", "session-3"}
    assert "Bob" in (await browser.get("/")).text


@pytest.mark.parametrize("base", ["/", "/ops"])
async def test_the_login_leads_back_to_the_page_that_was_asked_for(base: str) -> None:
    browser = Stand(base=base).browser()
    below = base.rstrip("/")

    led = await browser.get("/jobs?state=failed&expression=kind+%3D+%22a%2Fb%22")
    page = await browser.http.get(led.headers["location"])
    back = html.unescape(page.text.partition('name="back" value="')[2].partition('"')[0])
    wrong = await browser.post("/login", {"token": "wrong", "back": back})
    right = await browser.post("/login", {"token": TOKEN, "back": back})

    assert led.headers["location"].startswith(f"{below}/login?back=")
    assert back == "/jobs?state=failed&expression=kind+%3D+%22a%2Fb%22"
    assert html.escape(back) in wrong.text.replace("&#34;", "&quot;")
    assert right.headers["location"] == below + back


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/a\r\nset-cookie: x=y",
        "/\t/evil.example",
        "/" + "a" * 2000,
    ],
)
async def test_the_login_leads_to_no_other_site(elsewhere: str) -> None:
    browser = Stand().browser()

    answer = await browser.post("/login", {"token": TOKEN, "back": elsewhere})
    again = await browser.http.get("/login", params={"back": elsewhere})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (again.status_code, again.headers["location"]) == (303, "/")


async def test_a_cookie_of_an_ended_session_does_not_stand_in_the_way_of_the_next_login() -> None:
    browser = Stand().browser()
    form = {"csrf": Visitor(principal=None, credential="", key="k").csrf, "token": TOKEN}
    headers = {"cookie": "__Host-pj=ended; __Host-pj-visitor=k", "origin": browser.place}

    answer = await browser.http.post("/login", data=form, headers=headers)

    # The last one counts.
    assert answer.headers.get_list("set-cookie")[-1].startswith("__Host-pj=session-1;")
    assert await _shown(browser) == (200, True)


async def test_a_form_of_before_the_login_does_nothing_after_it() -> None:
    stand = Stand()
    browser = stand.browser()
    before = (await browser.get("/login")).text.partition('name="csrf" value="')[2].partition('"')[0]
    await browser.login()

    answer = await browser.http.post("/logout", data={"csrf": before}, headers={"origin": browser.place})

    assert answer.status_code == 403


async def test_where_nobody_is_asked_there_is_no_login() -> None:
    stand = Stand(asks=False)
    browser = stand.browser()

    pages = [await browser.get("/"), await browser.get("/login")]

    assert [each.status_code for each in pages] == [200, 303]
    assert ("anonymous" in pages[0].text, "Log out" in pages[0].text) == (True, False)
    assert "__Host-pj" not in browser.http.cookies


async def test_the_form_of_one_visitor_is_of_no_use_to_another_where_nobody_is_asked() -> None:
    stand = Stand(asks=False)
    one, other = stand.browser(), stand.browser()
    await one.get("/")
    await other.get("/")
    token = Visitor(principal=None, credential="", key=one.http.cookies["__Host-pj-visitor"]).csrf
    form, headers = {"csrf": token}, {"origin": one.place}

    answers = [await each.http.post("/logout", data=form, headers=headers) for each in (one, other)]

    assert [each.status_code for each in answers] == [303, 403]


async def test_ten_logins_in_a_row_are_allowed_and_then_one_each_6_s() -> None:
    stand = Stand()
    browser = stand.browser()
    tries = [(await browser.login("x")).status_code for _ in range(11)]
    soon = await browser.login()
    stand.now = 6.0
    later = [(await browser.login("x")).status_code, (await browser.login()).status_code]

    assert tries == [401] * 10 + [429]
    assert (soon.status_code, soon.headers["retry-after"]) == (429, "6")
    assert later == [401, 429]


async def test_attempts_are_counted_by_network_and_few_peers_are_remembered() -> None:
    attempts = Attempts(lambda: 0.0)
    for _ in range(10):
        attempts.take("2001:db8::1")
    with pytest.raises(HttpRefusal):
        attempts.take("2001:db8::2")
    attempts.take("2001:db8:0:1::2")
    for number in range(10_000):
        attempts.take(f"10.0.{number // 256}.{number % 256}")

    attempts.take("2001:db8::1")


async def test_what_may_be_done_is_shown_by_scope_and_queue() -> None:
    stand = Stand()
    principal = stand.tokens.live[TOKEN]
    visitor = Visitor(principal=principal, credential="x", key="x")
    stranger = Visitor(principal=None, credential="", key="x")

    assert visitor.may(Scope.OPERATOR)
    assert visitor.may(Scope.OPERATOR, "mail-out")
    assert not visitor.may(Scope.OPERATOR, "other")
    assert not visitor.may(Scope.ADMIN)
    assert not stranger.may(Scope.OPERATOR)
