"""Words of the store itself; no class, group, attribute or value may be called so."""

UNSURE = "unsure"
"""Somebody looked and could not tell. *Missing* (nobody looked) is the absence of a value."""

RESERVED = frozenset({UNSURE, "missing"})
