"""Who changed what: every command and use case that changes something, with how it was before and after."""
