"""The memory's life in the bot: what it is told, what it is asked, and what it does to a decision."""
