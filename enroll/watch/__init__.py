"""Listen to other programs' events, and tell them who was seen."""
