"""Learns from sparse labels and proposes cells; light to import: torch comes with what learns."""
