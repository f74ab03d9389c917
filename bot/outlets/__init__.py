"""What follows the desk: the Redis feed, the local feed, metrics, notifications."""
