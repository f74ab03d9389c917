"""The three protocols: each reads a request into a prompt and writes a reply, whole or as a stream, and errors."""
