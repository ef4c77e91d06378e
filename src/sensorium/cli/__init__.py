"""The command line: one file a verb, and `main`, which finds the verb and reports for people or for machines."""
