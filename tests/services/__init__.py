"""Real servers on loopback for the tests, without Docker: `python -m tests.services start`.

One module per server; `frame.py` says what such a module offers, `keeper.py` starts and stops
them, `registry.py` lists them. This folder is a package (unlike other test folders) because its
modules carry the names of client libraries (`cassandra`, `kafka`), which they must not shadow.
"""
