"""Asset group `releases`: what the Hub and watched folders offer, and what was decided of it."""
