"""Floor 1: what every floor above stands on: the toolchain's errors, launching programs, files and folders."""
