"""The units that cells are counted by: patients, or fields without a known patient."""

from __future__ import annotations

from training.reasons import Reason


def of_units(units: int, fields: int | None) -> Reason:
    """Describe whose cells they are: "of 3 patients", "of 4 fields whose patients are not known", or both.

    Parameters
    ----------
    units
        How many patients, or fields if none is known.
    fields
        How many of them are fields; ``None`` if an older version did not count them.
    """
    if fields is None:
        return Reason(
            "of {count} patient (a field counts as one where no patient is known)",
            "of {count} patients (a field counts as one where no patient is known)",
            count=units,
        )
    known = Reason("of {count} patient", "of {count} patients", count=units - fields)
    unknown = Reason(
        "of {count} field whose patient is not known",
        "of {count} fields whose patients are not known",
        count=fields,
    )
    if not fields:
        return known
    return unknown if fields == units else Reason("{some} and {others}", some=known, others=unknown)
