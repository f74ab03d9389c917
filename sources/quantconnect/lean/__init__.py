"""LEAN algorithms written from the bot's own rules and templates."""
