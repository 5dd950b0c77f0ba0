"""pgqueuer, with batches of 200 on both sides of the handler."""
