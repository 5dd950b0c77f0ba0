"""Private Kafka brokers of a test session: a real Apache Kafka, as one broker or as a cluster, that tests may kill and freeze.

`running_brokers` starts them. `python -m tests.brokers -- COMMAND...` runs a command with one broker, whose address is in
`PROTOJOBS_TEST_DSN`. `python -m tests.brokers.jars` only fetches the jars.
"""
