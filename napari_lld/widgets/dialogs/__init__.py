"""Questions and windows of their own."""
