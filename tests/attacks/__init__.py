"""Files and names made to do harm: each is refused with an error of ours, or does no harm.

A module a target, each with a table `ATTACKS`: name -> (what is tried, how it ends). `apart` runs them all in
processes with little memory and time, so that one that succeeds is a failed test and not a dead test run.
"""
