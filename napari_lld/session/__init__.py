"""What is open, what is current and what can be done with it; no Qt."""
