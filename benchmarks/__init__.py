"""What the bot costs, in figures: `make bench` prints one JSON line per item, beside a reference measured in the same run."""
