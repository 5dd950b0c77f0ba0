"""The Proto Jobs server."""
