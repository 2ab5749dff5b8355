"""All commands in one declarative registry: buttons, shortcuts, menus and the help are made from it.

The keys follow one rule that needs no modes:

* a plain letter **acts** (next field, accept, draw a box),
* a digit **fills the row of the caret**, which goes on to the next row,
* **Shift + letter names the class** (the letter of the schema, drawn on the button).

So a letter never changes its meaning, no class collides with a command, and both the frequent letters
(Q W A S D X R F B) and the digits 1 to 4 lie under the left hand while the right one holds the mouse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from psygnal import Signal

from annotation_store.records import RejectionReason
from annotation_store.schema import CellClass, ClassGroup, Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.commands.keymap import KeyMap
from napari_lld.i18n.translate import later, tr
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool

When = Callable[[Session], bool]


def _always(_session: Session) -> bool:
    return True


def has_project(session: Session) -> bool:
    """Return whether a project is open."""
    return session.project is not None


def has_field(session: Session) -> bool:
    """Return whether a field is shown."""
    return session.fields.current_id is not None


def has_cell(session: Session) -> bool:
    """Return whether a cell is current."""
    return session.selection.cell is not None


def has_target(session: Session) -> bool:
    """Return whether a cell or a suggestion, which a value makes a cell, is current."""
    return session.selection.cell is not None or session.selection.proposal is not None


def _on_slide(session: Session) -> bool:
    return (
        session.fields.current is not None
        and session.fields.current.is_slide
        and session.selection.region is not None
    )


def _has_deletable(session: Session) -> bool:
    return (
        session.selection.cell is not None
        or session.selection.region is not None
        or session.selection.ignore_area is not None
    )


def _has_finished(session: Session) -> bool:
    return session.selection.region is not None and session.selection.region.finished


@dataclass(frozen=True)
class Command:
    """One thing the user can do.

    Attributes
    ----------
    keys
        Key sequences in Qt's portable notation, such as ``"Ctrl+Shift+Z"``; the first is shown.
    when
        Whether it can be done now; buttons are disabled otherwise, keys do nothing.
    group
        Its heading in the help.
    listed
        Whether the help and the menu list it (the many values of one kind are listed together).

    Notes
    -----
    Title, group and help are written in English and become the user's language here, once for all.
    """

    id: str
    title: str
    run: Callable[[], None]
    keys: tuple[str, ...] = ()
    group: str = "General"
    when: When = _always
    help: str = ""
    listed: bool = True

    def __post_init__(self) -> None:
        for name in ("title", "group", "help"):
            object.__setattr__(self, name, tr(getattr(self, name)))

    @property
    def key(self) -> str:
        """The key to show, with arrows and Shift as signs."""
        return pretty_key(self.keys[0]) if self.keys else ""

    @property
    def tooltip(self) -> str:
        """Title, what it does, and the key."""
        text = f"{self.title} ({self.key})" if self.key else self.title
        return f"{text}\n{self.help}" if self.help else text


_WRITING = (
    *(
        "box.",
        "class.",
        "value.",
        "cell.bookmark",
        "cell.comment",
        "cell.copy",
        "cell.second_opinion",
        "edit.",
        "field.comment",
        "field.cut",
        "field.details",
        "field.quality.",
    ),
    *("field.skip", "fields.add", "overlap.", "reading.add", "region.", "draw.finish", "model."),
    *(
        "candidate.",
        "suggestion.accept",
        "suggestion.bad_box",
        "suggestion.duplicate",
        "suggestion.not_a_cell",
    ),
    *("tool.box", "tool.draft", "tool.ignore", "tool.region", "tool.ring", "candidate."),
    *(
        "layers.take",
        "training.start",
        "training.suggest",
        "slides.search",
        "project.import",
        "project.merge",
        "project.patients",
    ),
)
"""How the ids of commands begin that change the project."""

_READING = (
    *("annotator.change", "conflicts.show", "gallery.open", "gallery.similar", "mistakes.check"),
    *("project.export", "project.report", "reading.choose"),
)
"""The ids of commands that change nothing, but need the project's folder."""

_OPENING = (
    *_READING,
    "fields.add",
    "project.import",
    "project.merge",
    "project.patients",
    "training.start",
    "training.suggest",
    "slides.search",
)
"""The ids of commands that open the project anew: whether its folder is there is looked at before."""

_SIGNS = {"Shift+": "⇧", "Down": "↓", "Up": "↑", "Left": "←", "Right": "→", "Backspace": "⌫"}
_KEYS = {
    "Ctrl": later("Ctrl"),
    "Shift": later("Shift"),
    "Return": later("Return"),
    "Space": later("Space"),
    "Del": later("Del"),
    "Home": later("Home"),
    "End": later("End"),
    "Pg": later("Pg"),
}
"""Names of keys that differ between the keyboards of languages."""


def pretty_key(key: str) -> str:
    """Write a key sequence as it is shown to people: as the keys of their keyboard are labelled."""
    if not key.startswith("Ctrl+Shift+"):
        for name, sign in _SIGNS.items():
            key = key.replace(name, sign)
    return re.sub("[A-Z][a-z]+", lambda match: tr(_KEYS[match[0]]) if match[0] in _KEYS else match[0], key)


class Commands:
    """The registry of one window.

    Each command declares keys of its own; the key map says which it has: those of the left-handed
    profile, or what the user gave it.
    """

    keys_changed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self._declared: dict[str, Command] = {}
        self._commands: dict[str, Command] = {}
        self._by_key: dict[str, str] = {}
        self._key_map = KeyMap()

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __getitem__(self, command_id: str) -> Command:
        return self._commands[command_id]

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._commands

    def add(self, commands: Iterable[Command]) -> None:
        """Add commands; two that declare one key are a mistake of ours."""
        declared = {key: name for name, command in self._declared.items() for key in command.keys}
        for command in commands:
            for key in command.keys:
                other = declared.setdefault(key, command.id)
                if other != command.id:
                    raise ValueError(f"key {key} is taken by {other}, so {command.id} cannot have it")
            self._declared[command.id] = command
        self._assign()

    def remove(self, prefix: str) -> None:
        """Remove the commands whose id starts so."""
        self._declared = {name: c for name, c in self._declared.items() if not name.startswith(prefix)}
        self._assign()

    @property
    def key_map(self) -> KeyMap:
        """The profile, and what the user changed in it."""
        return self._key_map

    @key_map.setter
    def key_map(self, key_map: KeyMap) -> None:
        self._key_map = key_map
        self._assign()
        self.keys_changed.emit()

    def _assign(self) -> None:
        keys = self._key_map.assign({name: command.keys for name, command in self._declared.items()})
        self._commands = {
            name: replace(c, keys=keys[name], when=self._guarded(c)) for name, c in self._declared.items()
        }
        self._by_key = {key: name for name, command in self._commands.items() for key in command.keys}

    def _guarded(self, command: Command) -> When:
        """Enable commands that edit only while the project is writable."""
        if not command.id.startswith((*_WRITING, *_READING)):
            return command.when
        return lambda session: not self.why_not(command.id) and command.when(session)

    def why_not(self, command_id: str) -> str:
        """Explain why the project's state forbids a command: its folder is gone, or may only be read."""
        stopped = command_id.startswith(_WRITING) or (self.session.unsaved.why and command_id in _READING)
        return self.session.why_no_edits if stopped else ""

    def tooltip(self, command_id: str) -> str:
        """Return a command's tooltip, with the reason where the project cannot be changed."""
        text = self._commands[command_id].tooltip
        reason = self.why_not(command_id)
        return f"{text}\n{reason}" if reason else text

    def profile_keys(self, command_id: str) -> tuple[str, ...]:
        """Return the keys a command has in the profile, whatever the user changed."""
        return self._key_map.in_profile(command_id, self._declared[command_id].keys)

    def spelled(self, sentence: str) -> str:
        """Insert the keys into a sentence that names commands, as in ``press [tool.box]``."""

        def key(match: re.Match[str]) -> str:
            command = self._commands.get(match[1])
            return match[0] if command is None else command.key or tr("“{title}”", title=command.title)

        return re.sub(r"\[([a-z]+\.[a-z_]+)\]", key, sentence)

    def for_key(self, key: str) -> Command | None:
        """Return the command on a key."""
        command_id = self._by_key.get(key)
        return self._commands[command_id] if command_id else None

    def run(self, command_id: str) -> bool:
        """Run a command if it can be done now."""
        command = self._commands[command_id]
        if command_id in _OPENING:
            self.session.refresh()
        if reason := self.why_not(command_id):
            self.session.notify("hint", reason)
            return True  # it was answered
        if not command.when(self.session):
            return False
        command.run()
        return True

    def use_schema(self, schema: Schema | None) -> None:
        """Make the commands of a schema's classes and groups."""
        self.remove("class.")
        if schema is not None:
            self.add(_class_commands(self.session, schema))


def class_like(schema: Schema) -> tuple[CellClass | ClassGroup, ...]:
    """List all that a cell's class may be: classes, then groups."""
    return (*schema.classes, *schema.groups)


def class_keys(schema: Schema) -> dict[str, str]:
    """Assign a key to each class and group: the schema's, else its letter, else the next free letter."""
    used = {"Shift+Q"}  # unsure
    keys: dict[str, str] = {}
    later: list[CellClass | ClassGroup] = []
    for item in class_like(schema):
        preferred = str(getattr(item, "key", "") or getattr(item, "letter", "") or "").strip().upper()
        key = f"Shift+{preferred}"
        if len(preferred) == 1 and preferred.isascii() and preferred.isalpha() and key not in used:
            keys[item.name] = key
            used.add(key)
        else:
            later.append(item)
    free = (f"Shift+{letter}" for letter in "ABCDEFGHIJKLMNOPRSTUVWXYZ")
    for item in later:
        letters = [f"Shift+{c}" for c in item.name.upper() if c.isascii() and c.isalpha()]
        key = next((k for k in (*letters, *free) if k not in used), "")
        if key:
            keys[item.name] = key
            used.add(key)
    return keys


def _class_commands(session: Session, schema: Schema) -> Iterator[Command]:
    keys = class_keys(schema)
    for item in class_like(schema):
        name = item.name
        yield Command(
            f"class.{name}",
            item.title,
            lambda name=name: session.labels.set_class(name),  # type: ignore[misc]
            (keys[name],) if name in keys else (),
            "Class",
            has_target,
        )
    yield Command(
        "class.unsure",
        "Class unsure",
        lambda: session.labels.set_class(UNSURE),
        ("Shift+Q",),
        "Class",
        has_target,
        "Examined, but uncertain.",
    )
    yield Command(
        "class.missing",
        "Class missing",
        lambda: session.labels.set_class(None),
        ("Shift+Backspace",),
        "Class",
        has_cell,
        "Clear the class: not yet labelled.",
    )


def session_commands(session: Session) -> Iterator[Command]:
    """Make the commands that need no window."""

    def tool(tool: Tool) -> Callable[[], None]:
        def choose() -> None:
            session.tool = Tool.SELECT if session.tool is tool else tool

        return choose

    def reject(reason: RejectionReason) -> Callable[[], None]:
        return lambda: session.review.reject(reason)

    def void(_result: object) -> None:
        return None

    def cut_field() -> None:
        session.regions.make_field()

    s = session
    yield Command("field.next", "Next field", s.fields.next, ("N",), "Fields", has_project)
    yield Command("field.previous", "Previous field", s.fields.previous, ("P",), "Fields", has_project)
    yield Command(
        "field.cut",
        "Make a field of this region",
        cut_field,
        (),
        "Fields",
        _on_slide,
        "Copy this part of the slide into the project, as a field that does not need the slide.",
    )

    yield Command(
        "tool.region",
        "Region",
        tool(Tool.REGION),
        ("R",),
        "Draw",
        has_field,
        "Drag a rectangle, or click corner by corner and close with Enter or a double click. "
        "In a finished region, every white cell must have a box.",
    )
    yield Command(
        "tool.box",
        "Box",
        tool(Tool.BOX),
        ("B",),
        "Draw",
        has_field,
        "Drag a box around a cell, or click on it and accept the proposed box with Enter. "
        "The tool stays active until Esc.",
    )
    yield Command(
        "tool.draft",
        "Draft region",
        tool(Tool.DRAFT),
        ("T",),
        "Draw",
        has_field,
        "A region to finish later: draw it, box its cells, then finish it.",
    )
    yield Command(
        "region.reopen",
        "Make the region a draft again",
        lambda: void(s.regions.reopen()),
        (),
        "Draw",
        _has_finished,
        "Its empty areas are unknown again, not background.",
    )
    yield Command(
        "tool.ignore",
        "Ignore area",
        tool(Tool.IGNORE),
        ("I",),
        "Draw",
        has_field,
        "An unreadable area (smear, clump, blur): excluded from training and evaluation.",
    )
    yield Command(
        "edit.delete",
        "Delete cell, region or area",
        s.delete_current,
        ("Del",),
        "Draw",
        _has_deletable,
    )

    yield Command(
        "missing.next",
        "Next missing label",
        s.labels.next_missing,
        ("Tab",),
        "Describe",
        has_field,
        "Go to the next attribute, then the next cell, without a value.",
    )
    for number in range(1, 10):
        yield Command(
            f"value.{number}",
            tr("Value {number} of the row", number=number),
            lambda number=number: s.labels.set_value_number(number),  # type: ignore[misc]
            (str(number),),
            "Describe",
            has_target,
            listed=False,
        )
    yield Command(
        "value.unsure",
        "Unsure",
        s.labels.set_value_unsure,
        ("Q",),
        "Describe",
        has_target,
        "Set the attribute at the cursor to unsure.",
    )
    yield Command(
        "value.clear",
        "Clear value",
        s.labels.clear_value,
        ("Backspace",),
        "Describe",
        has_cell,
        "The value becomes missing again; press again to go back a row.",
    )
    yield Command(
        "cell.copy",
        "Copy from the previous cell",
        s.labels.copy_previous,
        ("L",),
        "Describe",
        has_target,
        "Copy missing values from the previously described cell; values that are set stay.",
    )
    yield Command(
        "cell.bookmark",
        "Bookmark",
        s.labels.toggle_bookmark,
        ("M",),
        "Describe",
        has_cell,
        "Find this cell again.",
    )
    yield Command(
        "cell.second_opinion",
        "Second opinion",
        s.labels.toggle_second_opinion,
        ("O",),
        "Describe",
        has_cell,
        "Request a second opinion on this cell.",
    )
    yield Command(
        "caret.down", "Row down", lambda: s.selection.move_caret(1), ("Down",), "Describe", has_target
    )
    yield Command("caret.up", "Row up", lambda: s.selection.move_caret(-1), ("Up",), "Describe", has_target)

    yield Command("suggestion.next", "Next suggestion", s.review.next, ("S",), "Suggestions", has_field)
    yield Command(
        "suggestion.previous", "Previous suggestion", s.review.previous, ("W",), "Suggestions", has_field
    )
    yield Command(
        "suggestion.queue",
        "Fast accept or teach me",
        s.suggestions.other_queue,
        ("Alt+Q",),
        "Suggestions",
        has_field,
        "Two queues: the surest first, or those first from which the model would learn most.",
    )

    def accept() -> None:
        if s.candidates.open and not s.label_errors.active:
            s.candidates.take()
        else:
            s.review.accept()

    yield Command(
        "suggestion.accept",
        "Accept",
        accept,
        ("A",),
        "Suggestions",
        has_field,
        "The suggestion becomes a cell. Any class or value key accepts it with that change. "
        "An unknown cell gets no class. For a possible label error, the model's prediction "
        "replaces the label. For a cell that lacks class or values, the first candidate is "
        "accepted.",
    )
    yield Command(
        "candidate.take_all",
        "Accept all candidates",
        s.candidates.take_all,
        ("Alt+A",),
        "Suggestions",
        lambda session: has_field(session) and session.candidates.open,
        "Fill in the missing class and values of the current cell with the most probable ones.",
    )
    yield Command(
        "mistakes.check",
        "Possible label errors",
        s.label_errors.toggle,
        ("Alt+M",),
        "Suggestions",
        has_field,
        "Review labels that the model confidently contradicts: keep them, or correct them.",
    )
    yield Command(
        "mistakes.look",
        "Search for label errors again",
        s.label_errors.search,
        (),
        "Suggestions",
        lambda session: session.label_errors.active and not session.label_errors.searching,
        "Compare all labels with the model's current predictions.",
    )
    yield Command(
        "suggestion.accept_all",
        "Accept all shown",
        lambda: void(s.bulk_accept.accept_all()),
        ("Ctrl+Shift+A",),
        "Suggestions",
        lambda session: has_field(session) and not session.bulk_accept.refusal,
        "Accept all suggestions of this field above the threshold, in one undoable step. "
        "Only if the model's precision on held-out cells is reliably 95% or more.",
    )
    yield Command(
        "suggestion.not_a_cell",
        "Not a cell",
        reject(RejectionReason.NOT_A_CELL),
        ("X",),
        "Suggestions",
        has_field,
        "Reject; the model learns that this is background. For a possible label error: keep the label.",
    )
    yield Command(
        "suggestion.duplicate",
        "Duplicate",
        reject(RejectionReason.DUPLICATE),
        ("D",),
        "Suggestions",
        has_field,
        "Reject: the cell already has a box.",
    )
    yield Command(
        "suggestion.bad_box",
        "Bad box",
        reject(RejectionReason.BAD_BOX),
        ("F",),
        "Suggestions",
        has_field,
        "Reject: a cell, but badly framed.",
    )
    yield Command(
        "threshold.lower",
        "Show more suggestions",
        s.marks.lower_threshold,
        (",",),
        "Suggestions",
        has_project,
    )
    yield Command(
        "threshold.raise",
        "Show fewer suggestions",
        s.marks.raise_threshold,
        (".",),
        "Suggestions",
        has_project,
    )

    yield Command("edit.undo", "Undo", s.history.undo, ("Ctrl+Z",), "General", has_field)
    yield Command("edit.redo", "Redo", s.history.redo, ("Ctrl+Shift+Z", "Ctrl+Y"), "General", has_field)
    yield Command(
        "view.marks",
        "Hide or show marks",
        s.marks.toggle,
        ("H",),
        "General",
        has_field,
        "Hide boxes and letters to see the cells themselves.",
    )
