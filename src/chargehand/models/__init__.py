"""Models: which one an agent gets, and one request to it. The loop around them is the runtime's."""
