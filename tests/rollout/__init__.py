"""Servers are replaced and workers are taken away under load, as an orchestrator does it, and nobody notices."""
