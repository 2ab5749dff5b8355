"""The dock and what surrounds its panels."""
