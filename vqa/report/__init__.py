"""Results as one self-contained HTML page: no network, no other files."""

from __future__ import annotations
