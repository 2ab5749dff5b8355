"""Bind session, commands, layers and widgets of one viewer together."""
