"""`egrl bench kv`: exactness, speed, quality and placement of pruned caches."""
