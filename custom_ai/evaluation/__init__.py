"""Asking the models: chat with base and tuned, and the exam that compares them."""
