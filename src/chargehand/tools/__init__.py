"""What agents can do: files, search, shell and planning, inside one workspace and one sandbox."""
