"""LLMs: how they are asked, what an answer costs, and who is asked when one fails."""
