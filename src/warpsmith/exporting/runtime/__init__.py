"""What an exported kernel brings along instead of warpsmith: copied into exports as text. It needs PyTorch alone."""
