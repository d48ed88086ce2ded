"""From text to a monthly signal: the analyst, the strategist, their memory, guidance for agents, and backtests."""
