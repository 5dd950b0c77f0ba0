"""The rules of the job life cycle, alone."""
