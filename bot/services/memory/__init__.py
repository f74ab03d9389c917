"""What the memory learns from the bot, and what people ask of it."""
