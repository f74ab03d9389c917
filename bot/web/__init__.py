"""The control room: the API and the pages, in a process of its own; a client of the bot like any other."""
