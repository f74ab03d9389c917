"""Prompts: templates with placeholders, in two parts, checked before they are saved and bounded when they are rendered."""
