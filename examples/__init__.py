"""Real jobs, and a demo that runs them."""
