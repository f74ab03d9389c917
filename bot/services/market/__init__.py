"""The market as the running bot sees it, and as a finished run recorded it."""
