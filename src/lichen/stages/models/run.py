"""Training (being written)."""
def train(*a): raise NotImplementedError
