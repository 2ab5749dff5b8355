"""What stands for names in whatever leaves the project: keyed hashes, whose key stays in the project."""

from __future__ import annotations

import hmac
import re

_TECHNICAL = re.compile(r"[HL]_\d{1,3}x_C\d{1,2}|\d{1,7}×\d{1,7} px|domain-[0-9a-f]{16}")
"""Domains that name nobody: of LLD (microscope, magnification, camera), sizes of images, hashes already."""


def pseudonym(secret: str, text: str) -> str:
    """Return the keyed hash that stands for a name: the same name, the same hash.

    Parameters
    ----------
    secret
        The project's key, in hexadecimal.
    """
    return hmac.new(bytes.fromhex(secret), text.encode("utf-8", "replace"), "sha256").hexdigest()[:16]


def domain_pseudonym(secret: str, domain: str) -> str:
    """Return what stands for a domain, which is often a folder's name; a technical one stays."""
    return domain if _TECHNICAL.fullmatch(domain) else f"domain-{pseudonym(secret, domain)}"
