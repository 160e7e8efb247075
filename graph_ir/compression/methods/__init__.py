"""How integers and scales are chosen, one method a file."""
