"""How a notice reaches a person: channels with their queues, the service behind each, and the log of what was delivered."""
