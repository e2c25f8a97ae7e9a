"""Services (being written)."""
def drain(*a): raise NotImplementedError
def promote(*a): raise NotImplementedError
