"""What Proto Jobs does per second and how long a job waits, through the installed server and the public SDK.

`python -m benchmarks --scenario both --driver postgres` starts the store, `protojobs serve` with default settings, and producers
and workers as processes, and prints what it measured. Every run is judged: each job stored once, run once and completed, or the
figures are worth nothing and the exit code is 1. Durability is on, and recorded.
"""
