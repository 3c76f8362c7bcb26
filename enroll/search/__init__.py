"""Vectors to the templates nearest to them.

`ranking` makes answers of what a `contract.Finder` finds; `exact` is the one that scikit-learn searches.
"""
