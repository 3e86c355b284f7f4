"""One error type: what is wrong and what to do, in a sentence for the reader."""


class ClusterError(Exception):
    """Something the reader can act on; the command line prints it as one message and exits 1."""
