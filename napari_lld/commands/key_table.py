"""The table of keys in the user's guide, made from the command registry."""

from __future__ import annotations

from itertools import groupby

from napari_lld.commands.registry import Commands, pretty_key

BEGIN, END = "<!-- keys: made from the registry -->", "<!-- end of keys -->"


def value_keys(commands: Commands) -> str:
    """Return the keys of the values of a row in short: nine commands are listed as one."""
    keys = [commands[f"value.{number}"].key for number in range(1, 10)]
    return "1 … 9" if keys == list("123456789") else " ".join([*filter(None, keys[:4]), "…"])


def key_table(commands: Commands) -> str:
    """Return all keys as a Markdown table, grouped as in the help (F1)."""
    lines = ["| | key | does |", "|---|---|---|"]
    listed = sorted((c for c in commands if c.listed and c.keys), key=lambda command: command.group)
    for group, members in groupby(listed, key=lambda command: command.group):
        rows = [(" or ".join(pretty_key(key) for key in c.keys), c.title) for c in members]
        if group == "Describe":  # nine commands that the help lists as one
            rows.insert(0, (value_keys(commands), "Value of the row of the caret"))
        for number, (keys, title) in enumerate(rows):
            lines.append(f"| {group if not number else ''} | {keys} | {title} |")
    return "\n".join(lines)


def with_keys(guide: str, commands: Commands) -> str:
    """Insert the table between its markers in a text."""
    before, _mark, rest = guide.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    return f"{before}{BEGIN}\n{key_table(commands)}\n{END}{after}"
