"""What a learner uses: check, watch, hints, reset, the map and the site."""
