"""Linear quantization at 1 to 8 bits a layer."""
