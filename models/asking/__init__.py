"""Questions to a language model behind an API whose replies are checked: ask, check, ask again with the reason."""
