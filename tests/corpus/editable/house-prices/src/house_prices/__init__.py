"""A project that is installed editable into the environment in which its models are trained."""
