"""The published store as pages in a browser: a server that only reads, or one HTML file that needs none."""
