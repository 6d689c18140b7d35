"""Starting kernels, one folder per task."""
