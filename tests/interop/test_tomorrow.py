"""Clients and a server of this version work with peers of a later one: what those say besides is passed on or ignored."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from protojobs.v1 import job_pb2, worker_service_pb2

from tests.interop import specs
from tests.interop.bench import Bench, Pair
from tests.interop.conftest import sqlite_settings
from tests.interop.languages import Language
from tests.interop.tomorrow import UNKNOWN, Seen, proxied, with_unknown_fields

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


class Tomorrow(Bench):
    """A bench whose clients and server each take the other one for one of a later version."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, sqlite_settings(directory / "jobs.db"))
        self.server.ready()
        self._proxy = proxied(self.server.address)
        self.proxy_address, self.seen = self._proxy.__enter__()

    @property
    def address(self) -> str:
        """Return where the proxy is."""
        return self.proxy_address

    def close(self) -> None:
        """End everything."""
        super().close()
        self._proxy.__exit__(None, None, None)


@pytest.fixture
def tomorrow(tmp_path: Path) -> Iterator[Tomorrow]:
    bench = Tomorrow(tmp_path)
    try:
        yield bench
    finally:
        bench.close()


@pytest.mark.requirement("LEASE-1", "RUN-1")
def test_jobs_go_through_a_client_and_a_worker_whose_server_is_of_a_later_version(tomorrow: Tomorrow, language: Language) -> None:
    pair: Pair = tomorrow.pair(language, language)

    rich, large = pair.job("rich"), pair.job("one_mib")
    started = pair.worker.event("started", job_id=rich)
    pair.settled(rich)
    pair.settled(large)
    finished = pair.finished("fail_twice")
    stored = pair.get(rich)

    assert {key: started["headers"].get(key) for key in specs.HEADERS} == specs.HEADERS
    assert stored["state"] == "COMPLETED"
    assert (finished["state"], finished["attempt"]) == ("COMPLETED", 3)
    assert passed(tomorrow.seen) >= {"DispatchRequest", "GetJobResponse"}
    worked = {"LeaseRequest", "LeaseResponse"} if language.streams else {"AcquireLeasesRequest", "AcquireLeasesResponse"}
    assert passed(tomorrow.seen) >= worked


def test_the_proxy_adds_fields_on_every_level() -> None:
    job = worker_service_pb2.LeasedJob(job_id="1")
    frame = worker_service_pb2.LeaseResponse(seq=1, deliver=worker_service_pb2.Deliver(items=[job]))

    changed = with_unknown_fields(frame)

    assert isinstance(changed, worker_service_pb2.LeaseResponse)
    assert [has_unknown(each) for each in (changed, changed.deliver, changed.deliver.items[0])] == [True, True, True]
    assert not has_unknown(job_pb2.JobSpec(kind="echo"))


def passed(seen: Seen) -> set[str]:
    return set(seen.counts)


def has_unknown(message: Message) -> bool:
    return UNKNOWN in message.SerializeToString()
