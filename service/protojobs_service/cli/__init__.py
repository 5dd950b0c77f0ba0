"""The `protojobs` command: the server, and what operators do with one."""

from protojobs_service.cli.app import app

__all__ = ["app"]
