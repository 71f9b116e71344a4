"""What a model in training takes from its weights, what from its context, and what it copies."""
