"""Settings and secrets as people change them while the bot runs: validated, kept, told in a history."""
