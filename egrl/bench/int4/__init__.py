"""The benchmark of int4: quality, peers, speed."""
