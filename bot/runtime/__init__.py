"""The asyncio shell around the desk: inbox, desk task, effect performers, supervision."""
