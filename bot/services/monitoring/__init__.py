"""How the bot does, for people: errors grouped and kept, parts and their state, latencies, the database, providers."""
