"""Finds faces in photos, aligns them to the chip that the trunk expects, and judges their quality."""
