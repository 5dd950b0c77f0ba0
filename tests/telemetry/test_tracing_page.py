"""docs/how-to/tracing.md is what works: its program, and the server as a program beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.telemetry.receiver import Receiver

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "tracing.md").read_text()


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    """Run `protojobs serve` in this environment and give its address; it has ended, and exported, when the context ends."""
    command = [sys.executable, "-m", "protojobs_service", "serve", "--migrate"]
    places = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"]
    with subprocess.Popen([*command, *places], cwd=directory, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            events = (json.loads(line) for line in server.stderr)
            yield next(event["address"] for event in events if event["event"] == "server started")
        finally:
            server.terminate()
            server.communicate()
    assert server.returncode == 0


def test_the_program_of_the_page_is_one_trace_from_the_sign_up_to_the_mail(receiver: Receiver, tmp_path: Path) -> None:
    [program] = [part.partition("```")[0] for part in PAGE.split("```python\n")[1:]]

    with _serving(tmp_path) as address:
        environment = {**os.environ, "PROTOJOBS_ADDRESS": address, "OTEL_SERVICE_NAME": "shop"}
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    spans = {span.name: span for span in receiver.spans if receiver.services[span.span_id] == "shop"}
    assert {"sign up", "dispatch mails", "process mails", "render", "ack mails", "lease mails"} == spans.keys()
    assert len({span.trace_id for name, span in spans.items() if name != "lease mails"}) == 1
    assert {"protojobs.build_info", "messaging.process.duration"} <= {metric.name for metric in receiver.metrics}
