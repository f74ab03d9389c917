"""What people do with language models through the bot: decisions, prompts, costs, chat, analysis, ideas."""
