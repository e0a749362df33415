"""Networks: pruned, quantized and designed as problems for the shared core; judged on data and on measured cost."""
