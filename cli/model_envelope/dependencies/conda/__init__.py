"""Conda environments: what is in them, and their lock, made with conda-lock and proven with whatever conda is here."""
