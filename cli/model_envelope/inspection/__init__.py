"""What a model file is, read from its bytes: nothing is loaded and nothing is run."""
