"""The keys of the commands: their own, those of the left-handed profile, or the user's; no Qt.

A key is one command's. Where two want it, what the user said goes before the profile, the profile before
a command's own key: so a memory from an older version never keeps the window from opening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_lld.session import user_state

Keys = tuple[str, ...]

RIGHT, LEFT = "right", "left"
"""The hand on the mouse. With the right one there, the left one types: the registry's own keys."""

LEFT_HANDED: Mapping[str, Keys] = {
    # Only letters that lie on the right half of American, German and French keyboards alike.
    "suggestion.accept": ("L",),
    "suggestion.next": ("K",),
    "suggestion.previous": ("I",),
    "suggestion.duplicate": ("J",),
    "suggestion.bad_box": ("H",),
    "suggestion.not_a_cell": ("M",),
    "value.unsure": ("P",),
    "tool.region": ("U",),
    "tool.box": ("N",),
    "region.finish": ("O",),
    "field.next": ("PgDown",),
    "field.previous": ("PgUp",),
    "missing.next": ("Right", "Tab"),
    "cell.copy": ("End",),
    # Over J K L ;, where the fingers lie.
    "value.1": ("7", "1"),
    "value.2": ("8", "2"),
    "value.3": ("9", "3"),
    "value.4": ("0", "4"),
    "value.7": ("Ctrl+7",),
    "value.8": ("Ctrl+8",),
    "value.9": ("Ctrl+9",),
    "sight.stains": ("S",),
    "tool.ring": ("D",),
    "tool.ruler": ("R",),
    # Rarer ones change places with those above.
    "tool.ignore": ("A",),
    "cell.bookmark": ("B",),
    "cell.second_opinion": ("Q",),
    "view.marks": ("F",),
}
"""The frequent commands under the right hand, while the left one holds the mouse."""

_PROFILES: Mapping[str, Mapping[str, Keys]] = {RIGHT: {}, LEFT: LEFT_HANDED}


@dataclass(frozen=True)
class KeyMap:
    """A profile, and the commands whose keys the user changed in it.

    Attributes
    ----------
    profile
        The hand on the mouse: ``"right"`` or ``"left"``.
    changed
        Keys by the id of the command; empty = the command has no key any more.
    """

    profile: str = RIGHT
    changed: Mapping[str, Keys] = field(default_factory=dict)

    def in_profile(self, command_id: str, own: Keys) -> Keys:
        """Return the keys a command has in the profile, whatever the user changed."""
        return _PROFILES[self.profile].get(command_id, own)

    def with_keys(self, command_id: str, keys: Keys) -> KeyMap:
        """Change the keys of a command."""
        return replace(self, changed={**self.changed, command_id: keys})

    def without(self, command_id: str) -> KeyMap:
        """Reset the keys of a command to those of the profile."""
        return replace(self, changed={name: k for name, k in self.changed.items() if name != command_id})

    def assign(self, own: Mapping[str, Keys]) -> dict[str, Keys]:
        """Assign keys to each command, from their own ones; no key twice."""
        profile = _PROFILES[self.profile]

        def claim(name: str) -> int:
            return 0 if name in self.changed else 1 if name in profile else 2

        used: set[str] = set()
        keys: dict[str, Keys] = {}
        for name in sorted(own, key=claim):
            preferred = self.changed.get(name, self.in_profile(name, own[name]))
            keys[name] = tuple(key for key in preferred if key not in used)
            used.update(keys[name])
        return keys


def load() -> KeyMap:
    """Return the user's keys; ignore what cannot be read."""
    stored = user_state.recall("keys")
    if not isinstance(stored, dict):
        return KeyMap()
    changed = stored.get("changed")
    readable = {
        str(name): tuple(keys)
        for name, keys in (changed.items() if isinstance(changed, dict) else ())
        if isinstance(keys, list) and all(isinstance(key, str) and key for key in keys)
    }
    profile = stored.get("profile")
    return KeyMap(profile if isinstance(profile, str) and profile in _PROFILES else RIGHT, readable)


def save(key_map: KeyMap) -> None:
    """Store the user's keys, for all projects."""
    changed = {name: list(keys) for name, keys in key_map.changed.items()}
    user_state.remember("keys", {"profile": key_map.profile, "changed": changed})
