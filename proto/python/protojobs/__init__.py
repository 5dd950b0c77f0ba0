"""The Proto Jobs contract, generated from `proto/protojobs`."""
