"""Tests of the use cases: a fake clock, the memory driver, no network."""
