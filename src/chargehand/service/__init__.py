"""What can be done: each public method is one use case in one transaction, committed before anyone is told."""
