"""The runner of the course: ``python3 -m course``."""

# The oldest Python that can run it. This file and __main__.py are read by older ones too.
MINIMUM = (3, 11)
