"""Any network as a graph: its layers, the tensors between them, every parameter and multiply-accumulate."""
