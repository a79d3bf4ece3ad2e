"""The runner of the course: ``python3 -m course``."""

# The oldest supported Python. An older one runs this file and __main__.py, to report its age.
MINIMUM = (3, 11)
