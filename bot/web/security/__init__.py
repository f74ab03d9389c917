"""Who may do what in the control room, and how a request has to look to be listened to at all."""
