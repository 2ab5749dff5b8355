"""What is known of fields as a whole: patient, slide, domain, pixel size; the rule that finds patients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db import history
from annotation_store._db.history import Change
from annotation_store._db.session import ProjectBase, only_differences
from annotation_store._db.tables import fields
from annotation_store._db.tables import project as project_table
from annotation_store.errors import EditError
from annotation_store.file_names import name_pattern
from annotation_store.records import Edit


class Describing(ProjectBase):
    """The part of `Project` that says what fields are."""

    def update_field(self, field_id: int, **changes: Any) -> None:
        """Change what is known of a field.

        Parameters
        ----------
        **changes
            patient, slide, domain, microscope, camera, stain, magnification, pixel_size_um, quality, note,
            skipped; ``None`` = not known.
        """
        self.update_fields({field_id: changes})

    def update_fields(self, changes: Mapping[int, Mapping[str, Any]]) -> list[Edit]:
        """Change what is known of several fields, each as in `update_field`, in one transaction.

        Returns
        -------
        list of Edit
            One for each field that changed; `undo_edits` takes them back together.
        """
        checked = {field_id: validation.field_changes(wanted) for field_id, wanted in changes.items()}
        written: list[Edit] = []
        with self._writing() as connection:
            for field_id, wanted in checked.items():
                row = connection.execute(sa.select(fields).where(fields.c.id == field_id)).first()
                if row is None:
                    raise EditError(f"There is no field {field_id} in the project {self.path}.")
                old, new = only_differences({name: getattr(row, name) for name in wanted}, wanted)
                if new:
                    change = Change("field", field_id, old, new)
                    written.append(self._write_edit(connection, field_id, "Describe field", [change]))
        self._tell(written)
        return written

    @staticmethod
    def check_field_changes(changes: Mapping[str, Any]) -> None:
        """Check changes of a field, as in `update_field`, without writing them.

        Raises
        ------
        EditError
            `update_field` would refuse them.
        """
        validation.field_changes(changes)

    def undo_step(self, field_id: int) -> int | None:
        """Give the number of the edit that `undo` would take back."""
        return history.undo_top(self._connection, self._scope(field_id))

    @property
    def patient_rule(self) -> str | None:
        """The expression that finds the patient in the names of new files; see `add_fields`."""
        found = self._rows(sa.select(project_table.c.patient_rule))
        return found[0].patient_rule or None

    def set_patient_rule(self, expression: str | None) -> None:
        """Keep the rule for all fields that are added from now on; empty or ``None``: no patient is read.

        Raises
        ------
        FormatError
            It is no regular expression.
        """
        name_pattern(expression)  # refuses what cannot be read
        with self._writing() as connection:
            connection.execute(project_table.update().values(patient_rule=expression or None))

    def _pattern(self, patient_from: str | None) -> re.Pattern[str] | None:
        """Give the rule for an intake: the one it names, which the project keeps, or the project's own."""
        if patient_from is None:
            return name_pattern(self.patient_rule)
        if (patient_from or None) != self.patient_rule:
            self.set_patient_rule(patient_from)
        return name_pattern(patient_from)
