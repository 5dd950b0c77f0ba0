"""Values and rules of the job life cycle; the standard library only."""
