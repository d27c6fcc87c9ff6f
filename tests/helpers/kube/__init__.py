"""A look-alike of a Kubernetes API server, with what it takes to install our chart into it."""
