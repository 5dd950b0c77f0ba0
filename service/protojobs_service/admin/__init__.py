"""The admin port: HTTP beside gRPC, on the same event loop."""
