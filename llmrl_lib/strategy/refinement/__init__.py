"""Refinement of prompts: trainer, writer and judge, after the paper's section II-B3."""
