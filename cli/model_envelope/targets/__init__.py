"""Floor 3: what images and packages are made of, and how they are made.

Only this package imports cookiecutter and docker.
"""
