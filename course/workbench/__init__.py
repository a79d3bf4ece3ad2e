"""The workbench: a lesson's app, a page to talk to it, and the wire between the two."""
