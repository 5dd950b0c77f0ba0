"""The Kafka driver: what waits lies in topics, everything else in the side store, which is a complete driver of its own."""
