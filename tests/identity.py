"""An identity provider for tests: keys, tokens that they sign, and the HTTP server that tells the keys."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example.test", "protojobs"

_MAKERS: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
_FORMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


class Key:
    """A key of a provider."""

    def __init__(self, key_id: str = "first", algorithm: str = "ES256") -> None:
        self.id = key_id
        self.algorithm = algorithm
        self.private = _MAKERS[algorithm]()

    @property
    def public(self) -> dict[str, Any]:
        """Return it as a member of a JSON Web Key Set."""
        form: dict[str, Any] = json.loads(_FORMS[self.algorithm].to_jwk(self.private.public_key()))
        return {**form, "kid": self.id, "alg": self.algorithm, "use": "sig"}

    @property
    def pem(self) -> bytes:
        """Return the public key as text, which everybody knows."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        data: bytes = self.private.public_key().public_bytes(serialization.Encoding.PEM, form)
        return data

    def sign(self, *, headers: dict[str, Any] | None = None, without: tuple[str, ...] = (), **claims: Any) -> str:
        """Return a good token but for `claims`, `headers` and what it is `without`."""
        said = {**good_claims(), **claims}
        for name in without:
            del said[name]
        return jwt.encode(said, self.private, algorithm=self.algorithm, headers={"kid": self.id, **(headers or {})})


def good_claims() -> dict[str, Any]:
    """Return the claims of a good token of nobody in particular."""
    now = datetime.now(UTC)
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + timedelta(hours=1)}


def key_set(*keys: Key) -> dict[str, Any]:
    """Return a JSON Web Key Set."""
    return {"keys": [key.public for key in keys]}


def key_file(path: Path, *keys: Key) -> Path:
    """Write a key set; returns its path."""
    path.write_text(json.dumps(key_set(*keys)))
    return path


class KeyServer:
    """Tells `body` to whoever asks, and counts them. hangs: it takes the question, and answers only when the test ends."""

    def __init__(self, *keys: Key) -> None:
        self.body: Any = key_set(*keys)
        self.status = 200
        self.hangs = False
        self.asked = 0
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self._over = threading.Event()

    @contextmanager
    def serving(self) -> Iterator["KeyServer"]:
        """Listen on loopback."""
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told.asked += 1
                told.headers.append({name.lower(): value for name, value in self.headers.items()})
                if told.hangs:
                    told._over.wait()
                    return
                self.send_response(told.status)
                self.end_headers()
                self.wfile.write(told.body if isinstance(told.body, bytes) else json.dumps(told.body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/keys"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            server.shutdown()
            server.server_close()
            thread.join()
