"""A checkpoint served over the OpenAI API as a policy; vLLM servers and what they serve."""
