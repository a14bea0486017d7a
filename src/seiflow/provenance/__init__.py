"""Where results come from: the store explained, chains from recipe to number, numbers computed again, archives."""
