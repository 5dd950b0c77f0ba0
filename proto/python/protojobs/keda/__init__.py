"""The contract of KEDA's external scalers, for the server; each `*_pb2` module is generated."""
