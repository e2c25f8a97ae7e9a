"""The postgres connector: tables and queries, whole or by a column, and logical replication."""
