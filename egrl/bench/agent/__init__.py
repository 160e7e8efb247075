"""`egrl bench agent`: the agents against everything else, in four experiments."""
