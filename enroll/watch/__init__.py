"""Receive other programs' events, and send them who was seen."""
