"""From findings to incidents to people: grouping, ledger, routing, targets.

Only status `firing` opens an incident. What is to be told is committed to the ledger with the
change that caused it and sent from there, so that a crash neither loses nor repeats it.
"""
