"""What authors use: the rules, the starters, and the graders' own test."""
