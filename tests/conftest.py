"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several tests run at once, and threads of one would wait for another's

settings.register_profile("usual", max_examples=50)
settings.load_profile("usual")
