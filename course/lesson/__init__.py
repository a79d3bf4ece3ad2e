"""What a lesson is: its homes, its page, its regions, and what a machine needs for it."""
