"""`python -m examples.demo`: a server, workers and real jobs on this machine, and what became of them."""
