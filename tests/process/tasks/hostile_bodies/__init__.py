"""Tasks that harm the process they run in: one function for each way, its first line says which."""
