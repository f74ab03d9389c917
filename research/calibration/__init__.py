"""How far stated confidences come true, and the map that corrects them: learnt from closed decisions alone, as of a moment."""
