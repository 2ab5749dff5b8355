"""The commands on the field as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from napari_lld.commands.registry import Command, has_field, has_project
from napari_lld.i18n.translate import later
from napari_lld.session.field_order import QUALITIES
from napari_lld.session.session import Session


def field_commands(session: Session) -> Iterator[Command]:
    """Make the commands that need no window."""

    def say(quality: str) -> None:
        field = session.fields.current
        if field is not None:
            session.fields.describe(quality=None if field.quality == quality else quality)

    def take() -> None:
        session.region_proposal.take()

    def proposed(session: Session) -> bool:
        return session.region_proposal.current is not None

    for quality, title in zip(QUALITIES, _TITLES, strict=True):
        yield Command(
            f"field.quality.{quality}",
            title,
            lambda quality=quality: say(quality),  # type: ignore[misc]
            (),
            "Fields",
            has_field,
            "What the field is like as a whole. The same once more takes it back.",
        )
    yield Command(
        "field.skip",
        "Skip this field",
        session.fields.skip,
        ("Ctrl+K",),
        "Fields",
        has_field,
        "Next and previous pass over it, and no model suggests anything on it. "
        "What stands on it stays. Once more takes it back.",
    )
    yield Command(
        "region.propose",
        "Propose a region",
        session.region_proposal.propose,
        ("Alt+R",),
        "Draw",
        has_field,
        "Show the most informative place of this field, and why; press again for the next.",
    )
    yield Command(
        "region.take",
        "Take the proposed region",
        take,
        (),
        "Draw",
        proposed,
        "It becomes a draft: box its white cells, then finish it.",
    )
    yield Command(
        "region.leave", "Leave the proposed region", session.region_proposal.leave, (), "Draw", proposed
    )
    yield Command(
        "fields.choose",
        "Choose this field too",
        session.fields.choose_current,
        ("Ctrl+Space",),
        "Fields",
        has_field,
        "Select this field too, to edit several fields at once; press again to deselect it. With the "
        "mouse, hold Ctrl or Shift in the list.",
    )
    yield Command(
        "fields.choose_all",
        "Choose all fields of the list",
        session.fields.choose_all,
        ("Ctrl+A",),
        "Fields",
        has_field,
        "Once more, none.",
    )
    yield Command(
        "fields.arrange",
        "Sort and filter again",
        session.fields.arrange,
        (),
        "Fields",
        has_project,
        "The list never moves by itself: this takes how things stand now.",
    )


_TITLES = (
    later("Quality: good"),
    later("Quality: thick"),
    later("Quality: blurred"),
    later("Quality: badly stained"),
)
