"""Research: what the bot learns from its own record."""
