"""The console: pages for people on the admin port."""

from protojobs_service.admin.console.desk import Console

__all__ = ["Console"]
