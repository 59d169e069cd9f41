"""The columns of pandas."""
