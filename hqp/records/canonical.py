"""What names a value: its schema, and the digest of its canonical form."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SCHEMA_VERSION = 1


def digest_of(value: Any) -> str:
    """The SHA-256 of a JSON value in canonical form, 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
