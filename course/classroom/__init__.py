"""A class: submissions graded in bulk, and exports of the results."""
