"""The randomised drill: the real desk, broker and reconciler on a virtual clock; venue, network and disk fail by a seed."""
