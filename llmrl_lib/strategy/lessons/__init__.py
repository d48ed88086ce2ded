"""Lessons for a small model: prompts of invented markets with the replies of a teacher who knows what they are worth."""
