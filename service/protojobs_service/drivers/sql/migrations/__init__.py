"""Alembic's revisions: numbered, one after another, never changed once released."""
