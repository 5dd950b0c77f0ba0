"""Kafka: the brokers that tests run, and what is built on them."""
