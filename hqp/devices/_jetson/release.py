"""Which L4T a board runs, and which JetPack that belongs to."""

from __future__ import annotations

import re

RELEASE = re.compile(r"^# R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)", re.MULTILINE)
# Of `dpkg-query -W nvidia-l4t-core`, for where the release file is absent: `36.4.3-20250107174145`.
PACKAGE = re.compile(r"^nvidia-l4t-core\s+(\d+\.\d+(?:\.\d+)*)", re.MULTILINE)

# The beginning of an L4T version and its JetPack; the longest that fits is taken.
JETPACK = {
    "32.7.1": "4.6.1", "32.7.2": "4.6.2", "32.7.3": "4.6.3", "32.7.4": "4.6.4", "32.7.5": "4.6.5", "32.7.6": "4.6.6",
    "35.1.0": "5.0.2", "35.2.1": "5.1", "35.3.1": "5.1.1", "35.4.1": "5.1.2", "35.5.0": "5.1.3", "35.6.0": "5.1.4",
    "35.6.1": "5.1.5", "35.6.2": "5.1.5", "35.6.3": "5.1.5", "35.6.4": "5.1.6",
    "36.2.0": "6.0 DP", "36.3.0": "6.0", "36.4.0": "6.1", "36.4.2": "6.1", "36.4.3": "6.2", "36.4.4": "6.2.1",
    "36.4.7": "6.2.1", "36.5.0": "6.2.2",
    "38.2": "7.0", "38.4": "7.1", "39.2": "7.2",
}  # fmt: skip


def l4t(text: str) -> str:
    """The version in ``/etc/nv_tegra_release`` or of the package ``nvidia-l4t-core``; empty where neither tells it."""
    found = RELEASE.search(text)
    if found:
        return f"{found[1]}.{found[2]}"
    package = PACKAGE.search(text)
    return package[1] if package else ""


def jetpack(version: str) -> str:
    """The JetPack of an L4T version; empty where it is not known. A revision may lack its last 0."""
    parts = version.split(".")
    for length in range(len(parts), 1, -1):
        known = JETPACK.get(".".join(parts[:length]))
        if known:
            return known
    return JETPACK.get(f"{version}.0", "")
