"""Migrations lead to the schema that the code is written for, and leave everything else in the database alone."""
