"""What ngspice says while it works, and the part of it that may be the reason of a fault."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["reason_in"]

_CHATTER = re.compile(
    rb"Reset re-loads|Trying gmin|Supplies reduced|Note:|Doing analysis|No\. of Data|Reference value|Circuit:|\*\*"
)
_TABLE = re.compile(rb"-+[- ]*|Node +.*|Last Node Voltages|Initial Transient Solution|\S+( +[-+.e\d]+){1,2}( \*)?")


def reason_in(messages: Sequence[bytes]) -> str:
    """What may be the reason of a fault, on one line of at most 1000 characters; empty where nothing is.

    Args:
        messages: b"stderr Error: ..." or b"stdout ...".
    """
    said = [message for message in messages if not _CHATTER.search(message)]
    said = [message for message in said if message.startswith(b"stderr")] or said  # the rest: tables of voltages
    said = [message.partition(b" ")[2].strip() for message in said]
    kept = dict.fromkeys(line.decode(errors="replace") for line in said if line and not _TABLE.fullmatch(line))
    text = "; ".join(kept)
    return text if len(text) <= 1000 else f"{text[:300]} … {text[-690:]}"
