"""`egrl train`: an agent learns one workload, and everything about it is kept in a folder."""
