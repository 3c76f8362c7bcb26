"""Keras layers that heads and stems are made of; one file a layer.

All compute in float32, also under mixed precision: what they add up is too small or too large for half.
"""
