"""What everything else stands on: the data types, errors, the registry, options, files. It imports no other room."""
