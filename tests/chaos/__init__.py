"""Kill, freeze and restart: the promises of docs/guarantees.md under faults, judged by tests/checker.

Histories and logs stay in pytest's `tmp_path`; `python -m tests.checker FILE...` judges them again.
"""
