"""`kubectl cronix`: asks and tells; every rule it applies is the operator's own, from `cronix_operator.core`."""
