"""Arbiter: many minds propose, one desk decides."""
