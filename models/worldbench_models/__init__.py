"""Reference world models of both schools: networks, training, weights and adapters.

A package as a third party would write one: it announces its configurations through the entry-point
group ``worldbench.conf``. Of its models worldbench knows nothing, of its training only the command.
"""
