"""`--compress auto`: the precision of every product, chosen together with the placement."""
