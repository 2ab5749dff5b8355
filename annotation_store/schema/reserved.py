"""Words of the store itself; no class, group, attribute or value may be called so."""

UNSURE = "unsure"
"""A person looked and could not decide. *Missing* (not looked at) is the absence of a value."""

RESERVED = frozenset({UNSURE, "missing"})
