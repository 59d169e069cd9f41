"""Arrays of numbers: NumPy, torch, SciPy."""
