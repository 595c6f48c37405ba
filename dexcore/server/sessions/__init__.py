"""Browser sessions: who is logged in where, for how long, and how that ends."""
