"""Side tables: what a room keeps for itself in the journal's database, on SQLite and on PostgreSQL."""
