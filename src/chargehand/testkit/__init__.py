"""What people test their agents with: a model server that says what a script tells it to."""
