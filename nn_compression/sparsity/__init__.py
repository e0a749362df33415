"""Weights that are removed or shared: masks, iterative pruning, codebooks, Deep Compression."""
