"""Those who answer, by the protocol they speak. No SDK is imported before the first call."""
