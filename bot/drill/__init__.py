"""The drills: each promise about orders, tried on the real bot in a process of its own against the exchange simulator.

`auditor` reads what the venue knows and what the journal holds, and imports nothing of the bot: it would share the bot's errors.
`venue` and `database` are where a drill happens, `child` the bot in it, `rig` all of them together. A family of drills is a
module named `trials_...`; `table` lists them, `running` runs them and `telling` shows how they went.
"""
