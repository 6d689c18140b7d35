"""warpsmith: agents write GPU kernels; a gate proves them before a library serves them."""
