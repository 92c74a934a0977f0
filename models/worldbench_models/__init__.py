"""Reference world models of both schools: networks, training, weights and adapters.

A package as a third party would write one: it announces its configurations through the entry-point
group ``worldbench.conf``, and worldbench knows nothing of it.
"""
