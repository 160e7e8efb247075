#!/bin/sh
# Stands for a machine: is given a plan's file and prints how many seconds an inference takes.
# A real one would copy the plan to a board, run the model there and print what its timer says.
set -eu
exec python3 "$(dirname "$0")/machine.py" "$1"
