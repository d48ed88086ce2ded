"""Talking to language models: what is asked, what comes back, what it cost and how sure the model was."""
