"""Puts the packages of an image together, in the stage of a build that is thrown away afterwards.

Runs on the Python of the base image, standard library only, and imports nothing else of this project. What comes out
has the same bytes, modes and times whenever, wherever and with whichever installer it is made.
"""
