"""The mysql connector: tables and queries, whole or by a column, and changes by the binlog."""
