"""Version 1 of the contract; each `*_pb2` module is generated."""
