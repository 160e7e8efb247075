"""Builders of the models that the compiler is developed and measured on."""
