"""What can be done: a public method is one use case in one transaction, committed before anyone is told."""
