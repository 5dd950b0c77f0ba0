"""Dispatches far more at once than a server takes: `python -m benchmarks.flooder JSON`. It ends when all is stored.

Each call is a batch with ids of its own, and many are on their way at once. One that is refused for now is made again when the
server says so, or after AGAIN_AFTER_S where it does not; and so is one of which nobody knows what became: the ids make that safe.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import orjson
from protojobs.v1 import job_pb2, job_service_pb2
from protojobs_client import JobIds, Options, ProtoJobsError
from protojobs_client.connection import Connection
from protojobs_client.statuses import from_status, translate

from benchmarks.extras import telemetry
from benchmarks.requests import body
from benchmarks.stack import KIND
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder

AGAIN_AFTER_S: Final = 1.0
TRY_S: Final = 30.0


class Flood:
    """What is to be stored, and what the server says to it."""

    def __init__(self, connection: Connection, recorder: Recorder, config: dict[str, Any]) -> None:
        self._connection = connection
        self._recorder = recorder
        self._config = config
        self._ids = JobIds()
        self._left: int = config["jobs"]
        self._payload = body(config.get("payload_bytes"))
        self._told = Counter[tuple[str, str]]()
        self.refused = self.with_retry_info = 0

    async def caller(self) -> None:
        """Store batches, one after the other, until nothing is left."""
        while self._left > 0:
            size = min(self._config["batch"], self._left)
            self._left -= size
            jobs = [self._ids.new() for _ in range(size)]
            self._recorder.write("dispatch", "invoke", jobs=jobs, queue=self._config["queue"], kind=KIND)
            await self._store(jobs)
            self._recorder.write("dispatch", "ok", jobs=jobs)

    async def _store(self, jobs: Sequence[str]) -> None:
        missing = list(jobs)
        while missing:
            errors: list[ProtoJobsError] = []
            request = job_service_pb2.DispatchBatchRequest(specs=[self._spec(job) for job in missing])
            try:
                answer = await self._connection.jobs.DispatchBatch(request, timeout=TRY_S)
            except grpc.RpcError as error:
                errors.append(translate(error))
            else:
                errors += [from_status(result.error) for result in answer.results if result.WhichOneof("result") == "error"]
                missing = [result.job_id for result in answer.results if result.WhichOneof("result") == "error"]
            for refusal in errors:
                self._note(refusal)
            if missing:
                hint = errors[0].retry_after
                await asyncio.sleep(AGAIN_AFTER_S if hint is None else hint.total_seconds())

    def _note(self, error: ProtoJobsError) -> None:
        self._told[error.code.name, error.reason] += 1
        self.refused += error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        self.with_retry_info += error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None
        if not error.retryable:
            raise error

    def write(self) -> None:
        """Write what the server has answered beside OK, each kind once for the judge."""
        for (code, reason), times in self._told.items():
            self._recorder.write("call", "fail", code=code, reason=reason, times=times)
        told: dict[str, Any] = {"refused": self.refused, "with_retry_info": self.with_retry_info}
        answers = {f"{code} {reason}".rstrip(): times for (code, reason), times in self._told.items()}
        self._recorder.write("noted", what="refusals", queue=self._config["queue"], answers=answers, **told)

    def _spec(self, job: str) -> job_pb2.JobSpec:
        return job_pb2.JobSpec(
            id=job, queue=self._config["queue"], kind=KIND, payload=self._payload, content_type="application/octet-stream"
        )  # fmt: skip


async def main(config: dict[str, Any]) -> None:
    """Store all jobs by so many callers at once, then write what was refused."""
    connection = Connection(Options.from_env())
    with Recorder(Path(config["history"]), config["name"]) as recorder, telemetry():
        flood, used = Flood(connection, recorder, config), own_cpu_s()
        async with asyncio.TaskGroup() as group:
            for _ in range(config["callers"]):
                group.create_task(flood.caller())
        await connection.close()
        flood.write()
        recorder.write("noted", what="usage", role="flooders", queue=config["queue"], cpu_s=own_cpu_s() - used)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))
