"""The book shows the prompts that the code renders."""

import refresh_prompt_examples


def test_the_page_of_examples_is_fresh():
    shown = refresh_prompt_examples.PAGE.read_text("utf-8")
    assert shown == refresh_prompt_examples.page(), "make it again with: python tests/refresh_prompt_examples.py"
    assert all(title in shown for title in refresh_prompt_examples.TITLES.values())
