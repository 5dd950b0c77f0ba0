"""Clients of every language against each other, by their `interop` programs (clients/README.md).

`languages.py` lists them. The tests of pairs have one server for each store and one worker for each language, for the whole
session. `make interop` runs it all and prints two tables.
"""
