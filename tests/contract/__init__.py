"""What every driver must do: one file per chapter, run on each backend of `backends`; `exemptions` is the only legal skip."""
