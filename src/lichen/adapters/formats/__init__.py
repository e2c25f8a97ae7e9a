"""How the records of a file are written: each module reads one way of writing them."""
