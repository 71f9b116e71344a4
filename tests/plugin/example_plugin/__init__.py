"""Extensions of Contextune in a package of their own."""
