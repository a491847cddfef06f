"""Ways for clients to reach a responder; each module is one, and none knows what answers."""
