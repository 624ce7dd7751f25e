"""Asset group `circuits`: circuits of attention heads, and what became of them in descendants."""
