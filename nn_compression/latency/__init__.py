"""Latency on this machine: networks measured whole, and as sums of parts that are measured alone."""
