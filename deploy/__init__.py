"""What is deployed beside the bot."""
