"""FLAG-Trader: a causal language model reads the market's state as text and is itself the policy, trained by PPO.

After Xiong et al. (2025). In order: `text` says what the model reads, `backbone` takes a checkpoint apart,
`activations` keeps what the frozen layers made of every text, `policy` is the trainable part with its two heads, `ppo`
the losses, `learner` the loop, `training` the public face. ``book/flag_trader.md`` lists what the paper leaves open and
what is chosen here.
"""
