"""Strategy ideas: a sentence becomes a rule's specification, is tried on recorded candles and put on the shelf, switched off."""
