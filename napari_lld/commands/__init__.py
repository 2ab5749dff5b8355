"""All commands and their keys, as data; no Qt."""
