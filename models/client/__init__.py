"""The client of servers that speak the OpenAI API: requests, retries, load balancing, errors, capabilities."""
