"""Learning from what came of decisions: calibration beside the running bot, and what people ask and decide about it."""
