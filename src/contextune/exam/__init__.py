"""An exam on the user's own documents: statements of theirs, asked in the forms of the five measures."""
