"""Answers in the forms people and programs read."""
