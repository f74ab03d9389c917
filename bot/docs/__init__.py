"""The reference pages, written from the code they describe: `python -m bot.docs` writes them, `--check` finds the stale ones.

A fact that the code knows (a default, an option, a column) is never typed into a page by hand. It stands on the top floor, beside
the command line, because it reads every room and none reads it.
"""
