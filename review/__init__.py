"""What is run before a release to find out whether the defences hold: fuzzing (fuzz/) and mutation tests (mutants/)."""
