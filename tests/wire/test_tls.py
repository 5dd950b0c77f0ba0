"""TLS of the listeners: who is let in, what the files may do while the server runs, and what is refused at start."""

import asyncio
import contextlib
import logging
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from protojobs_client import AsyncClient, Options, UnavailableError
from protojobs_client.errors import UnauthenticatedError
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.settings import InvalidSettings

from tests.certificates import Authority, Files, key_pem, replace
from tests.identity import key_file
from tests.wire.callers import KEY, provider
from tests.wire.peer import settings_for

pytestmark = pytest.mark.asyncio

NOBODY = b""


@pytest.fixture
def authority() -> Authority:
    """Return the authority that both sides trust."""
    return Authority()


@pytest.fixture
def server_files(authority: Authority, tmp_path: Path) -> Files:
    """Return the files of a server with a good certificate."""
    return Files(tmp_path / "server").write(authority.server(), authority)


@pytest.fixture
def client_files(authority: Authority, tmp_path: Path) -> Files:
    """Return the files of a client with a good certificate."""
    return Files(tmp_path / "client").write(authority.client(), authority)


def _encrypted(files: Files) -> dict[str, Any]:
    return {"cert": files.cert, "key": files.key}


def _mutual(files: Files) -> dict[str, Any]:
    return {**_encrypted(files), "client_ca": files.ca, "client_auth": "required"}


async def _call(server: RunningServer, **options: Any) -> str:
    """Ask the server for its driver over a connection of its own."""
    patience = timedelta(seconds=2)
    chosen = Options(address=server.address, call_timeout=patience, read_deadline=patience, **options)
    async with AsyncClient(options=chosen) as client:
        return (await client.server_info()).driver


async def _livez(server: RunningServer, context: ssl.SSLContext | None) -> bytes:
    """Return the first line that the admin port answers; none where it lets nobody in."""
    host, _, port = server.admin_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return (await reader.read()).partition(b"\r\n")[0]
    except (ssl.SSLError, ConnectionError):  # or the end: with TLS 1.3 the client learns it when it reads
        return NOBODY
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _context(files: Files, *, certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    if certificate:
        context.load_cert_chain(files.cert, files.key)
    return context


async def test_a_client_that_trusts_the_authority_is_served(server_files: Files, client_files: Files) -> None:
    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        assert await _call(server, ca=client_files.ca) == "memory"


async def test_with_a_certificate_a_server_listens_beyond_loopback_and_asks_who_calls(
    server_files: Files, client_files: Files, tmp_path: Path
) -> None:
    auth = {"oidc": [provider(key_file(tmp_path / "keys.json", KEY))]}
    async with start_server(settings_for(host="0.0.0.0", tls=_encrypted(server_files), auth=auth)) as server:
        with pytest.raises(UnauthenticatedError):
            await _call(server, ca=client_files.ca)
        assert await _call(server, ca=client_files.ca, token=KEY.sign()) == "memory"


async def test_an_unencrypted_admin_port_beyond_loopback_is_refused_by_name(server_files: Files, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"admin_host: .* tls.cert or --insecure"):
        async with start_server(settings_for(admin_host="0.0.0.0")):
            pass

    auth = {"oidc": [provider(key_file(tmp_path / "keys.json", KEY))]}
    async with start_server(settings_for(admin_host="0.0.0.0", admin_tls=_encrypted(server_files), auth=auth)):
        pass


async def test_every_start_without_encryption_beyond_loopback_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        async with start_server(settings_for(host="0.0.0.0", admin_host="127.0.0.1", insecure=True)):
            pass

    warnings = [each for each in caplog.records if each.message == "listening beyond loopback without encryption"]
    assert [(each.levelname, vars(each)["listener"]) for each in warnings] == [("WARNING", "api")] * 2


async def test_a_client_of_another_authority_refuses_the_server(server_files: Files, client_files: Files) -> None:
    client_files.write(None, Authority("another"))

    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        with pytest.raises(UnavailableError, match="handshake failed: the server's certificate is not to be trusted"):
            await _call(server, ca=client_files.ca)


async def test_a_client_refuses_an_expired_server(authority: Authority, server_files: Files, client_files: Files) -> None:
    server_files.write(authority.server(expired=True))

    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        with pytest.raises(UnavailableError, match="handshake failed: a certificate of the server has expired"):
            await _call(server, ca=client_files.ca)


async def test_a_client_refuses_a_server_of_another_name_unless_it_expects_that(
    authority: Authority, server_files: Files, client_files: Files
) -> None:
    server_files.write(authority.server("jobs.test"))

    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        with pytest.raises(UnavailableError, match="handshake failed: the server's certificate is for another name"):
            await _call(server, ca=client_files.ca)

        assert await _call(server, ca=client_files.ca, server_name="jobs.test") == "memory"


async def test_a_client_whose_key_is_of_another_certificate_is_told_so(
    authority: Authority, server_files: Files, client_files: Files
) -> None:
    replace(client_files.key, authority.client().key)

    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        with pytest.raises(UnavailableError, match="handshake failed: certificate, key or CA cannot be used"):
            await _call(server, ca=client_files.ca, cert=client_files.cert, key=client_files.key)


async def test_only_clients_with_a_certificate_of_the_authority_get_in_where_it_is_required(
    authority: Authority, server_files: Files, client_files: Files, tmp_path: Path
) -> None:
    foreign = Files(tmp_path / "foreign").write(Authority("another").client())
    expired = Files(tmp_path / "expired").write(authority.client(expired=True))

    async with start_server(settings_for(tls=_mutual(server_files))) as server:
        for turned_down in ({}, {"cert": foreign.cert, "key": foreign.key}, {"cert": expired.cert, "key": expired.key}):
            with pytest.raises(UnavailableError, match=r"handshake failed, or .* a client certificate that it trusts"):
                await _call(server, ca=client_files.ca, **turned_down)

        assert await _call(server, ca=client_files.ca, cert=client_files.cert, key=client_files.key) == "memory"


async def test_plaintext_to_an_encrypted_port_and_the_reverse_fail_as_handshakes(server_files: Files, client_files: Files) -> None:
    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        with pytest.raises(UnavailableError, match=r"handshake failed, or .* it may want TLS"):
            await _call(server)
    async with start_server(settings_for()) as server:
        with pytest.raises(UnavailableError, match="handshake failed: the server does not speak TLS"):
            await _call(server, ca=client_files.ca)


async def test_a_changed_certificate_is_used_by_the_next_handshake(authority: Authority, server_files: Files) -> None:
    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        before = await _shown(server.address), await _shown(server.admin_address)
        server_files.write(authority.server())
        after = await _shown(server.address), await _shown(server.admin_address)

    assert before[0] == before[1]
    assert after[0] == after[1] != before[0]


async def _shown(address: str) -> str:
    """Return the certificate that a port shows."""
    host, _, port = address.rpartition(":")
    return await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)), timeout=10)


@pytest.mark.parametrize("spoiled", ["cert", "key"])
async def test_the_last_good_certificate_stays_where_a_changed_file_cannot_be_used(
    authority: Authority, server_files: Files, client_files: Files, spoiled: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = server_files.cert.read_bytes()
    other = authority.server()

    async with start_server(settings_for(tls=_encrypted(server_files))) as server:
        if spoiled == "cert":
            replace(server_files.cert, b"no certificate: hunter2")
        else:
            replace(server_files.key, other.key)
        for _ in range(3):
            assert await _call(server, ca=client_files.ca) == "memory"
        shown = await _shown(server.address), await _shown(server.admin_address)
        server_files.write(other)
        healed = await _shown(server.address)

    assert [each.strip().encode() for each in shown] == [good.strip()] * 2
    assert healed.strip().encode() == other.cert.strip()
    # Two listeners, each of which has seen the change once.
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [vars(each)["setting"] for each in errors] == ["tls.cert"] * 2
    assert not [each for each in caplog.records if "hunter2" in str(vars(each)) or "PRIVATE KEY" in str(vars(each))]


async def test_roots_of_clients_that_are_withdrawn_let_nobody_in(
    authority: Authority, server_files: Files, client_files: Files
) -> None:
    async with start_server(settings_for(tls=_mutual(server_files))) as server:
        assert await _livez(server, _context(client_files, certificate=True)) == b"HTTP/1.1 200 OK"
        server_files.write(None, Authority("the next"))

        with pytest.raises(UnavailableError, match="client certificate"):
            await _call(server, ca=client_files.ca, cert=client_files.cert, key=client_files.key)

        assert await _livez(server, _context(client_files, certificate=True)) == NOBODY


async def test_the_admin_port_is_encrypted_like_the_api(server_files: Files, client_files: Files) -> None:
    async with start_server(settings_for(tls=_mutual(server_files))) as server:
        assert await _livez(server, _context(client_files)) == NOBODY
        assert await _livez(server, _context(client_files, certificate=True)) == b"HTTP/1.1 200 OK"


async def test_the_admin_port_may_have_a_certificate_and_rules_of_its_own(
    authority: Authority, server_files: Files, client_files: Files, tmp_path: Path
) -> None:
    own = Files(tmp_path / "admin").write(authority.server("127.0.0.1"))

    async with start_server(settings_for(tls=_mutual(server_files), admin_tls=_encrypted(own))) as server:
        assert await _livez(server, _context(client_files)) == b"HTTP/1.1 200 OK"
        assert (await _shown(server.admin_address)).strip().encode() == own.cert.read_bytes().strip()


@pytest.mark.parametrize("setting", ["tls", "admin_tls"])
@pytest.mark.parametrize("part", ["cert", "key", "client_ca"])
async def test_a_file_that_is_not_there_at_start_is_named(server_files: Files, setting: str, part: str) -> None:
    files = {**_mutual(server_files), part: server_files.home / "none.pem"}

    with pytest.raises(InvalidSettings, match=rf"^{setting}\.{part}: cannot be read: No such file"):
        async with start_server(settings_for(**{setting: files})):
            pass


@pytest.mark.parametrize("part", ["cert", "key", "client_ca"])
async def test_a_file_that_holds_something_else_at_start_is_refused_without_a_word_of_it(server_files: Files, part: str) -> None:
    odd = server_files.home / "odd.pem"
    odd.write_text("hunter2")

    with pytest.raises(InvalidSettings) as refused:
        async with start_server(settings_for(tls={**_mutual(server_files), part: odd})):
            pass

    assert str(refused.value).startswith("tls.client_ca:" if part == "client_ca" else "tls.cert:")
    assert "hunter2" not in str(refused.value)


async def test_a_key_that_wants_a_password_is_refused_and_asks_nobody(server_files: Files) -> None:
    replace(server_files.key, key_pem(ec.generate_private_key(ec.SECP256R1()), b"hunter2"))

    with pytest.raises(InvalidSettings, match="encrypted"):
        async with start_server(settings_for(tls=_encrypted(server_files))):
            pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cert": "a"}, "tls: .*cert and key belong together"),
        ({"cert": "a", "key": "b", "client_auth": "required"}, "tls: .*client_ca and client_auth"),
        ({"cert": "a", "key": "b", "client_ca": "c"}, "tls: .*client_ca and client_auth"),
        ({"client_ca": "c", "client_auth": "required"}, "tls: .*client_ca needs cert"),
        ({"cert": "a", "key": "b", "client_auth": "optional"}, "tls.client_auth"),
    ],
)
async def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        settings_for(tls=given)
