"""The parts of the Kafka driver, without a broker."""
