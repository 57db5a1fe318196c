"""The words: prompts, thoughts, dialects, and which names a thought may use."""
