"""Describe sampling units in messages: patients, or fields with unknown patient."""

from __future__ import annotations

from training.reasons import Reason

MIN_UNITS = 5
"""Minimum number of patients: with fewer, the variance between patients is as good as unknown."""


def of_units(units: int, fields: int | None) -> Reason:
    """Describe units: "of 3 patients", "of 4 fields whose patients are not known", or both.

    Parameters
    ----------
    units
        Number of patients, or of fields with unknown patient.
    fields
        Number of those that are fields; ``None`` if an older version did not count them.
    """
    if fields is None:
        return Reason(
            "of {count} patient (a field counts as one if the patient is unknown)",
            "of {count} patients (a field counts as one if the patient is unknown)",
            count=units,
        )
    known = Reason("of {count} patient", "of {count} patients", count=units - fields)
    unknown = Reason(
        "of {count} field whose patient is unknown",
        "of {count} fields whose patients are unknown",
        count=fields,
    )
    if not fields:
        return known
    return unknown if fields == units else Reason("{some} and {others}", some=known, others=unknown)
