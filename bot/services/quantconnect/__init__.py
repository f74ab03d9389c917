"""What people do with QuantConnect through the bot: backtests in the cloud, live algorithms, signals, account."""
