"""The chaos harness: breaks a whole installation on purpose and checks from outside what must always be true."""
