"""Memory: evidence in, lessons, confidence and parameters out, each as of a moment."""
