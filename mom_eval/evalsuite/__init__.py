"""Runs models on tasks: what is asked (plan), who answers (answerers), what is kept (run)."""
