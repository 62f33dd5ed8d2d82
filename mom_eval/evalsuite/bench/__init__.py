"""How long our ops and models take, beside peers and floors; nothing wrong is timed."""
