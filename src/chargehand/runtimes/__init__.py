"""How one attempt is carried out: playbook, function, command. Each journals what it does."""
