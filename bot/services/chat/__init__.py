"""The chat assistant: it looks things up with tools that only read, and what would change anything is a proposal to a person."""
