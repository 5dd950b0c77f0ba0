"""What templates are given: plain values made of messages, with nothing in them that could act on a page."""
