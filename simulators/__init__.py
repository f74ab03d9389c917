"""Local servers that speak the real protocols."""
