"""What reaches the terminal: text, tables and the progress of stages."""
