"""Write `testdata/vectors`: messages of the contract in both encodings, for every client to read (`interop vectors`).

    python proto/vectors.py            generate
    python proto/vectors.py --check    exit 1 and name each file that differs

`index.json` names each vector and the type of its message; NAME.bin is the message in binary, its fields and map keys in order,
NAME.json is its canonical JSON. Between them they have every frame of a worker and of the server, and what encodings get wrong:
presence, maps, recursion, times before 1970, numbers beyond 2^53, text beyond the BMP.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from protojobs.v1 import (
    job_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    server_service_pb2,
    worker_service_pb2,
)

VECTORS: Final = Path(__file__).resolve().parent / "testdata" / "vectors"

_JOB: Final = "01990000-0000-7000-8000-000000000001"
_OTHER: Final = "01990000-0000-7000-8000-000000000002"
_THIRD: Final = "01990000-0000-7000-8000-000000000003"
_TEXT: Final = 'žluťoučký kůň 漢字 🚀 e\u0301 \u0000 \\ " </script>'
_TIME: Final = "2026-11-28T10:00:00.123456Z"
_LARGE: Final = 2**53 + 1


def messages() -> dict[str, Message]:
    """Return every vector by name."""
    return {**_jobs(), **_producers(), **_workers(), **_operators()}


def _jobs() -> dict[str, Message]:
    attempt = {"jobId": _JOB, "attempt": 3, "outcome": "ATTEMPT_OUTCOME_RETRIED", "worker": "w", "startTime": _TIME}
    return {
        "job_spec_least": _of(job_pb2.JobSpec(), kind="noop"),
        "job_spec_full": _of(
            job_pb2.JobSpec(),
            id=_JOB,
            queue="mail.high",
            kind="send_email",
            payload=_base64(_TEXT.encode()),
            contentType="text/plain; charset=utf-8",
            headers={
                "empty": "",
                "text": _TEXT,
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            },
            priority=9,
            runTime=_TIME,
            labels={"customer": "42", "region": "eu-central"},
            runTimeout="30s",
            retry={
                "maxRetries": 0,
                "initialBackoff": "0.100s",
                "multiplier": 1.5,
                "maxBackoff": "3600s",
                "jitter": "JITTER_NONE",
                "maxRetryDuration": "86400s",
            },
            expireTime="2046-11-28T10:00:00Z",
            unique={"key": _TEXT.replace("\0", ""), "scope": "UNIQUE_SCOPE_WINDOW", "window": "60s"},
            fairnessKey="tenant-1",
            concurrencyKey="account-7",
            resultRetention="604800s",
        ),
        "job_spec_payload_all_bytes": _of(job_pb2.JobSpec(), kind="echo", payload=_base64(bytes(range(256)))),
        "job_spec_delay_below_a_second": _of(job_pb2.JobSpec(), kind="echo", delay="0.000000001s"),
        "job_spec_chain": _of(
            job_pb2.JobSpec(),
            kind="first",
            onComplete=[{"kind": "second", "onComplete": [{"kind": "third", "queue": "other"}]}, {"kind": "beside"}],
            onFailed=[{"kind": "clean_up", "priority": 1}],
        ),
        "retry_policy_set_to_zero": _of(job_pb2.RetryPolicy(), maxRetries=0, initialBackoff="0s"),
        "job_full": _of(
            job_pb2.Job(),
            id=_JOB,
            spec={"kind": "send_email", "queue": "mail"},
            state="JOB_STATE_RUNNING",
            attempt=4294967295,
            failures=2,
            crashes=1,
            createTime="1969-12-31T23:59:59.999999999Z",
            startTime=_TIME,
            worker=_TEXT.replace("\0", ""),
            progress={"ratio": 0.1, "message": "10 %", "updateTime": _TIME},
            lastError={"type": "NoLuck", "message": _TEXT, "stack": "at a\nat b\r\n\tat c"},
            retry={"maxRetries": 3, "multiplier": 2},
            cancelRequested=True,
            parentJobId=_OTHER,
        ),
        "attempt": _of(job_pb2.Attempt(), **attempt, error={"type": "TIMEOUT"}, retriedByHand=True, reason="TIMEOUT"),
        "job_event": _of(
            job_pb2.JobEvent(),
            cursor=_base64(b"\x00\xff\x7f\x80"),
            job={"id": _JOB},
            **{"from": "JOB_STATE_RUNNING"},
            to="JOB_STATE_COMPLETED",
            attempt=1,
            eventTime=_TIME,
            actor="server",
            type="job.processed",
            executionTime="0.000250s",
        ),
    }


def _producers() -> dict[str, Message]:
    return {
        "dispatch_request": _of(job_service_pb2.DispatchRequest(), spec={"id": _JOB, "kind": "noop"}, validateOnly=True),
        "dispatch_batch_response": _of(
            job_service_pb2.DispatchBatchResponse(),
            results=[
                {"jobId": _JOB, "outcome": "DISPATCH_OUTCOME_CREATED"},
                {"jobId": _OTHER, "outcome": "DISPATCH_OUTCOME_UNSPECIFIED"},
                {"error": {"code": 3, "message": "specs[2].kind: must not be empty"}},
            ],
        ),
        "dispatch_stream_request": _of(
            job_service_pb2.DispatchStreamRequest(), seq=str(_LARGE), specs=[{"id": _JOB, "kind": "a"}, {"kind": "b"}]
        ),
        "update_job_request": _of(
            job_service_pb2.UpdateJobRequest(),
            jobId=_JOB,
            spec={"priority": 1, "contentType": "text/plain"},
            updateMask="priority,contentType,runTime",
        ),
        "retry_request_empty_payload": _of(job_service_pb2.RetryRequest(), jobId=_JOB, expectedAttempt=1, payload=""),
        "watch_jobs_request": _of(
            job_service_pb2.WatchJobsRequest(),
            filter={"queues": ["a", "b"], "states": ["JOB_STATE_FAILED", "JOB_STATE_EXPIRED"], "labels": {"k": "v"}},
            cursor=_base64(bytes(16)),
        ),
        "schedule_request_cron": _of(
            schedule_service_pb2.ScheduleRequest(),
            schedule={
                "name": "nightly",
                "spec": {"cron": "0 3 * * *", "timeZone": "Europe/Prague", "jitter": "90s"},
                "job": {"kind": "report"},
                "catchup": {"mode": "CATCHUP_MODE_ALL", "max": 5, "window": "3600s"},
                "overlap": "OVERLAP_MODE_BUFFER_ONE",
            },
        ),
        "schedule_request_in": _of(
            schedule_service_pb2.ScheduleRequest(), schedule={"spec": {"in": "-0.5s"}, "job": {"kind": "later"}}
        ),
        "schedule_spec_weekly": _of(
            schedule_service_pb2.ScheduleSpec(),
            weekly={"days": ["WEEKDAY_MONDAY", "WEEKDAY_SUNDAY"], "times": ["08:00", "20:30"]},
        ),
    }


def _workers() -> dict[str, Message]:
    error = {"type": "NoLuck", "message": _TEXT, "stack": ""}
    return {
        "frame_hello": _request(
            hello={
                "sessionId": _base64(bytes(range(16))),
                "worker": "host:1",
                "sdk": "protojobs-python",
                "sdkVersion": "1.0.0",
                "queues": [{"name": "critical", "weight": 5}, {"name": "default"}],
                "queueOrder": "QUEUE_ORDER_STRICT",
                "kinds": ["a", "b"],
                "window": {"maxInFlight": 20, "maxBytes": str(_LARGE)},
                "slots": 10,
                "streamNo": "2",
                "held": [{"jobId": _JOB, "attempt": 1, "started": True, "elapsed": "1.5s"}],
                "sessionTtl": "30s",
            }
        ),
        "frame_settle": _request(
            settle={
                "items": [
                    {"jobId": _JOB, "attempt": 1, "complete": {"result": _base64(b"\x00"), "dispatch": [{"kind": "next"}]}},
                    {"jobId": _JOB, "attempt": 2, "fail": {"error": error, "retryable": False, "checkpoint": ""}},
                    {"jobId": _JOB, "attempt": 3, "snooze": {"delay": "1s"}},
                    {"jobId": _JOB, "attempt": 4, "release": {"reason": "RELEASE_REASON_UNKNOWN_KIND"}},
                    {"jobId": _JOB, "attempt": 5, "cancelled": {}},
                ],
                "completed": [{"attempt": 1, "jobIds": [_OTHER, _THIRD]}],
            }
        ),
        "frame_update_and_empty_checkpoint": _request(
            update={"items": [{"jobId": _JOB, "attempt": 1, "progress": {"ratio": 1.0}, "checkpoint": ""}]}
        ),
        "frame_goodbye": _request(goodbye={"mode": "GOODBYE_MODE_FINISH", "deadline": "10s"}),
        "frame_ping": _request(ping={}),
        "frame_welcome": _response(
            welcome={
                "serverId": "a-1",
                "sessionTtl": "30s",
                "heartbeatInterval": "7.5s",
                "limits": {"maxResultBytes": 262144, "maxCheckpointBytes": 65536, "maxInFlight": 100000},
                "kept": [{"jobId": _JOB, "attempt": 1}],
                "lost": [{"jobId": _OTHER, "attempt": 2}],
                "serverTime": _TIME,
            }
        ),
        "frame_deliver": _response(
            deliver={
                "items": [
                    {
                        "spec": {"id": _JOB, "kind": "echo", "payload": _base64(_TEXT.encode()), "headers": {"b": "2", "a": "1"}},
                        "attempt": 2,
                        "runTimeout": "300s",
                        "checkpoint": _base64(b"half"),
                        "failures": 1,
                        "jobId": _JOB,
                        "maxRetries": 3,
                    },
                    {"spec": {"kind": "noop"}, "attempt": 1, "jobId": _OTHER},
                ]
            }
        ),
        "frame_settled": _response(
            settled={
                "items": [
                    {"jobId": _JOB, "attempt": 1, "code": "SETTLE_CODE_OK", "nextState": "JOB_STATE_RETRYING", "nextTime": _TIME},
                    {"jobId": _OTHER, "attempt": 1, "code": "SETTLE_CODE_INVALID", "message": "fail.error"},
                ],
                "groups": [
                    {"attempt": 1, "code": "SETTLE_CODE_OK", "nextState": "JOB_STATE_COMPLETED", "jobIds": [_THIRD]},
                ],
                "updates": [{"jobId": _JOB, "attempt": 1, "code": "SETTLE_CODE_LEASE_SUPERSEDED"}],
            }
        ),
        "frame_cancel": _response(
            cancel={"items": [{"jobId": _JOB, "attempt": 1, "reason": "CANCEL_REASON_CANCELLED", "deadline": "30s"}]}
        ),
        "frame_drain": _response(drain={"reason": "DRAIN_REASON_AGE", "deadline": "10s", "reconnectAfter": "0.250s"}),
    }


def _operators() -> dict[str, Message]:
    return {
        "queue_full": _of(
            queue_service_pb2.Queue(),
            name="mail",
            paused=True,
            rateLimit={"perSecond": 0.25, "burst": 3},
            fairness={"enabled": True, "weights": {"free": 1, "paid": 1000}},
            priorityMode="PRIORITY_MODE_AGING",
            agingInterval="60s",
            maxDepth=str(2**63 - 1),
            overflow="OVERFLOW_DROP_OLDEST",
            history="HISTORY_FAILURES",
            events="EVENT_LEVEL_ALL",
        ),
        "queue_stats": _of(
            queue_service_pb2.QueueStats(),
            queue="mail",
            counts={"pending": str(_LARGE), "failed": "1"},
            oldestPendingAge="-1.000000001s",
            completedPerSecond1m=1e-7,
            failedPerSecond5m=1.7976931348623157e308,
            limitedBy={"rate": True, "noWorkerKinds": [{"kind": "a", "pending": "2"}]},
        ),
        "server_info": _of(
            server_service_pb2.GetServerInfoResponse(),
            version="0.1.0",
            driver="sqlite",
            capabilities=[{"name": "priorities", "available": True}, {"name": "replicas", "reason": "one process has the file"}],
            limits={"maxPayloadBytes": 1048576, "idAhead": "3600s"},
        ),
    }


def _request(**frame: Any) -> Message:
    return _of(worker_service_pb2.LeaseRequest(), seq="1", receivedSeq=str(_LARGE), startedSeq="3", **frame)


def _response(**frame: Any) -> Message:
    return _of(worker_service_pb2.LeaseResponse(), seq="1", receivedSeq=str(_LARGE), **frame)


def _of(message: Message, **fields: Any) -> Message:
    return json_format.ParseDict(fields, message)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def files() -> dict[str, bytes]:
    """Return the content of every file by its name."""
    found: dict[str, bytes] = {}
    index: list[dict[str, str]] = []
    for name, message in messages().items():
        index.append({"name": name, "type": message.DESCRIPTOR.full_name})
        found[f"{name}.bin"] = message.SerializeToString(deterministic=True)
        text = json_format.MessageToJson(message, indent=1, sort_keys=True, ensure_ascii=False)
        found[f"{name}.json"] = f"{text}\n".encode()
    found["index.json"] = f"{json.dumps({'vectors': index}, indent=1)}\n".encode()
    return found


def main() -> int:
    """Write or check every file, and return the exit code."""
    fresh = files()
    present = {path.name: path.read_bytes() for path in VECTORS.iterdir()} if VECTORS.exists() else {}
    differing = sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))
    if "--check" in sys.argv:
        for name in differing:
            sys.stderr.write(f"not up to date: testdata/vectors/{name}\n")
        if differing:
            sys.stderr.write("run `make generate`\n")
        return 1 if differing else 0
    VECTORS.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in fresh:
            (VECTORS / name).write_bytes(fresh[name])
        else:
            (VECTORS / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
