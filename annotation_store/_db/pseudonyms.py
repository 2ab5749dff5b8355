"""Pseudonyms for names in exported data: keyed hashes, whose key stays in the project."""

from __future__ import annotations

import hmac
import re
import unicodedata

_TECHNICAL = re.compile(r"[HL]_\d{1,3}x_C\d{1,2}|\d{1,7}×\d{1,7} px|domain-[0-9a-f]{16}")
"""Domains without a name in them: of LLD (microscope, magnification, camera), image sizes, hashes."""


def pseudonym(secret: str, text: str) -> str:
    """Return the keyed hash of a name: the same name gives the same hash.

    Parameters
    ----------
    secret
        The project's key, in hexadecimal.
    """
    return hmac.new(bytes.fromhex(secret), text.encode("utf-8", "replace"), "sha256").hexdigest()[:16]


def domain_pseudonym(secret: str, domain: str) -> str:
    """Return the pseudonym of a domain, which is often a folder's name; a technical one is kept."""
    return domain if _TECHNICAL.fullmatch(domain) else f"domain-{pseudonym(secret, domain)}"


def path_pseudonym(secret: str, path: str, most: int = 12) -> str:
    """Return the stored path of an original: its name, in folders that are keyed hashes.

    A folder that a file of annotations names can still be told from another one.

    Parameters
    ----------
    path
        With slashes or backslashes; a drive and the root are dropped.
    most
        How many folders are kept, those next to the file.
    """
    *folders, name = [part for part in path.replace("\\", "/").split("/") if part]
    last_folders = [folder for folder in folders if not folder.endswith(":")][-most:]
    return "/".join([*(folder_pseudonym(secret, folder) for folder in last_folders), name])


def folder_pseudonym(secret: str, folder: str) -> str:
    """Return the keyed hash of a folder's name, the same for other capitals and Unicode composition."""
    return pseudonym(secret, unicodedata.normalize("NFC", folder).casefold())
