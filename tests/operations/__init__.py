"""docs/operations/: every command of its pages is run, and what they promise happens."""
