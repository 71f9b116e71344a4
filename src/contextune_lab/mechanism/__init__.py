"""Studies of mechanism: in-context regression, the two-layer mixture model, gradients with and without a context."""
