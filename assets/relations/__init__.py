"""Asset group `relations`: which models share an origin, and how relatives differ."""
