"""Analysis of symbols on request, for a person, a prompt or a program."""
