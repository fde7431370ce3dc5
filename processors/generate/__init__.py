"""What makes files from parameters and files, off line: one declaration per generator."""
