"""Networks trained and judged: seeded, resumable to the bit."""
