"""Photo libraries and films: many pictures of the same people, together."""
