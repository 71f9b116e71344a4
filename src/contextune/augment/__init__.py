"""What follows from a text: operations that infer it, filters that judge it, a mixture to train on."""
