"""The `interop` program of the Python client: every language has one, and the interoperability tests speak to them alike.

clients/README.md has its contract. It is not part of the published package.
"""
