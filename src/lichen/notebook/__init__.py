"""A project in a notebook: rows, training sets, trials and pictures of them."""
