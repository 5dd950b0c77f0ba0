"""What other job queues do on the same machine, with the same PostgreSQL and the same job, beside Proto Jobs.

`python -m benchmarks.peers` builds each peer's program in a cache of its own, from the versions pinned beside its source, and lets
all of them and Proto Jobs run in turn. The programs speak one protocol, which `program.py` describes.
"""
