"""What the worlds register upward: editors of their records, and the reasoner of their language."""
