"""A gRPC server that does what it is told, for tests of transport and calls.

Reads plans from stdin, one JSON object a line: {"method": path, "answers": [...]}; the last answer of a method repeats. An answer
has `messages` (base64; several make a stream), then `code`, `message` and `details` (base64 of a google.rpc.Status) if it is an
error; `hang` seconds pass before any of it. Writes {"port": n} first, then each call as {"method", "request", "metadata",
"timeout"}.
"""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Fake(grpc.GenericRpcHandler):
    """Answers every method by its plan; without one it is UNIMPLEMENTED."""

    def __init__(self) -> None:
        self.plans: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return a handler of raw bytes that streams its answers: on the wire one answer looks the same."""
        if details.method not in self.plans:
            return None
        return grpc.unary_stream_rpc_method_handler(lambda request, context: self._answer(details.method, request, context))

    def _answer(self, method: str, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._lock:
            plan = self.plans[method]
            answer = plan.pop(0) if len(plan) > 1 else plan[0]
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            left = context.time_remaining()
            call = {"method": method, "request": base64.b64encode(request).decode(), "metadata": metadata, "timeout": left}
            say(call)
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(answer.get("hang", 0))
        for message in answer.get("messages", []):
            yield base64.b64decode(message)
        if answer.get("code"):
            if "details" in answer:
                context.set_trailing_metadata((("grpc-status-details-bin", base64.b64decode(answer["details"])),))
            context.abort(CODES[answer["code"]], answer.get("message", ""))


def say(line: dict[str, Any]) -> None:
    """Write a line of JSON at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until stdin ends."""
    fake = Fake()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((fake,))
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0"
    if len(sys.argv) > 2:
        key, cert, ca = (Path(name).read_bytes() for name in sys.argv[2:5])
        credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    server.start()
    say({"port": port})
    for line in sys.stdin:
        plan = json.loads(line)
        fake.plans[plan["method"]] = plan["answers"]
        say({"planned": plan["method"]})
    server.stop(None)


if __name__ == "__main__":
    main()
