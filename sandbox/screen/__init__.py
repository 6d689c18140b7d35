"""What is refused before anything runs: `source.py` reads CUDA C++ text, `ptx.py` the compiled PTX."""
