"""What names a value: its schema, and the digest of its canonical form or of a file's bytes."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any

from pydantic import StringConstraints

SCHEMA_VERSION = 1

# A digest may become the name of a file, so that a document is read only where each of its digests is nothing else.
DIGEST = "[0-9a-f]{64}"
Digest = Annotated[str, StringConstraints(pattern=f"^{DIGEST}$")]
"""A SHA-256 as 64 hexadecimal digits."""


def is_digest(text: str) -> bool:
    """Whether a text is a digest, and so may name a file."""
    return re.fullmatch(DIGEST, text) is not None


def digest_of(value: Any) -> Digest:
    """The SHA-256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
