"""The admin port, its parts alone and over HTTP."""
