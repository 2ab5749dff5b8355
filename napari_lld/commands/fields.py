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
            "The quality of the field as a whole. Press the same again to clear it.",
        )
    yield Command(
        "field.skip",
        "Skip this field",
        session.fields.skip,
        ("Ctrl+K",),
        "Fields",
        has_field,
        "Next and previous pass over it, and no model predicts on it. Its annotations are "
        "kept. Press again to undo this.",
    )
    yield Command(
        "region.propose",
        "Propose a region",
        session.region_proposal.propose,
        ("Alt+R",),
        "Draw",
        has_field,
        "Show the most informative place of this field, and the reason; press again for the next.",
    )
    yield Command(
        "region.take",
        "Accept the proposed region",
        take,
        (),
        "Draw",
        proposed,
        "It becomes a draft: box its white cells, then finish it.",
    )
    yield Command(
        "region.leave", "Dismiss the proposed region", session.region_proposal.leave, (), "Draw", proposed
    )
    yield Command(
        "fields.choose",
        "Select this field too",
        session.fields.choose_current,
        ("Ctrl+Space",),
        "Fields",
        has_field,
        "Select this field too, to edit several fields at once; press again to deselect it. With the "
        "mouse, hold Ctrl or Shift in the list.",
    )
    yield Command(
        "fields.choose_all",
        "Select all fields in the list",
        session.fields.choose_all,
        ("Ctrl+A",),
        "Fields",
        has_field,
        "Press again to select none.",
    )
    yield Command(
        "fields.arrange",
        "Sort and filter again",
        session.fields.arrange,
        (),
        "Fields",
        has_project,
        "The list never changes by itself: this brings it up to date.",
    )


_TITLES = (
    later("Quality: good"),
    later("Quality: thick"),
    later("Quality: blurred"),
    later("Quality: badly stained"),
)
