"""The commands lab, reproduce and bench. They join the command line through the entry points `commands.*`."""
