"""Values in, values out: no I/O, no clock, no logging, no kopf.

Everything that decides lives here and can be tested without a cluster. Imported by the corridor, the edges and the
command line; imports nothing but the protocol and the standard library.
"""
