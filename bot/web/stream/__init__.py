"""What the bot says, live: one link to it, one ring of what it said lately, and any number of readers of the ring."""
