"""Read a lesson: its files, its page, its regions, and what it needs on this machine."""
