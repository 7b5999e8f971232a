"""What agents may use: files, search, shell, planning, delegation; the workspace and the sandbox they work in."""
