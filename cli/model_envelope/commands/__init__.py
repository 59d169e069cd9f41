"""Floor 5: the command line. Options, text, JSON and exit codes; one file a command.

``verbs`` is the table of commands, ``application`` loads the one that is asked for, ``output`` is what every command
speaks through. A command file holds one function: options, one call of a workflow, one rendering.
"""
