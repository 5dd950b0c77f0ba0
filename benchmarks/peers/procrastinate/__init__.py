"""Procrastinate, with many slots and jobs that are deleted when they succeed."""
