"""A real Kubernetes on one machine, for development and tests; standard library only, needs Linux and root."""
