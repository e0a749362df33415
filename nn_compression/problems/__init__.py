"""Networks to compress, as problems for the core: what may be chosen, what it costs, what it is worth."""
