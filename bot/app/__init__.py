"""The composition root: settings in, running bot out."""

from bot.app.main import run

__all__ = ["run"]
