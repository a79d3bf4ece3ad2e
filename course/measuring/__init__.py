"""`python3 -m course measure`: four transports on this machine, side by side."""
