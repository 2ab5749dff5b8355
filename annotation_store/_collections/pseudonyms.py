"""Pseudonyms for names in everything that leaves a project."""

from __future__ import annotations

from annotation_store._db.pseudonyms import domain_pseudonym, folder_pseudonym, pseudonym
from annotation_store._db.session import DatabaseSession


class Pseudonyms:
    """`Project.pseudonyms`: keyed hashes, whose key stays in the project."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    @property
    def key(self) -> str:
        """The project's key, in hexadecimal; nothing that leaves the project may hold it."""
        return self._db.secret

    def of(self, name: str) -> str:
        """Return the pseudonym of a name."""
        return pseudonym(self._db.secret, name)

    def of_folder(self, folder: str) -> str:
        """Return the hash by which the project knows a folder that images came from."""
        return folder_pseudonym(self._db.secret, folder)

    def of_domain(self, domain: str) -> str:
        """Return the pseudonym of a domain; a domain without a name in it (``H_100x_C1``) is kept."""
        return domain_pseudonym(self._db.secret, domain)
