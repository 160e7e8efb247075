"""The command line: one small file per verb, heavy imports only inside the verb that needs them."""
