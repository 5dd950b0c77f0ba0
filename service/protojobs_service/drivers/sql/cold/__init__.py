"""The cold operations: plain functions of a SQLAlchemy connection, each run in one transaction by `Store.run`.

They may be run again after a deadlock, so they touch nothing but the store; what must follow the commit is returned.
"""
