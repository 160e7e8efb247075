"""Families of generated workloads; `registry` names them."""
