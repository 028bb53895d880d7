"""Programs: a function recorded once, optimised, and run over whole data sets in C."""
