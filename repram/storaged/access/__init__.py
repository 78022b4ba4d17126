"""Who may do what on a node, how much of it, and how often."""
