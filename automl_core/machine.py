"""Which processor this is: what times depend on."""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

__all__ = ["output_of", "processor"]

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}
"""By the flag of /proc/cpuinfo, widest first."""


def processor() -> str:
    """Its name as Linux or macOS tells it, and its widest vector instructions where Linux tells them.

    One name stands for processors of which one computes four times as fast as the other: ``AMD EPYC (AVX-512)``.
    """
    listing = Path("/proc/cpuinfo")
    text = listing.read_text(encoding="utf-8", errors="replace") if listing.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else output_of("sysctl", "-n", "machdep.cpu.brand_string").strip()
    flags = set(text.split())
    widest = next((vectors for flag, vectors in _VECTORS.items() if flag in flags), None)
    return f"{name or platform.processor() or 'unknown'}{f' ({widest})' if widest else ''}"


def output_of(*command: str) -> str:
    """What a program prints; nothing where it is absent or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
