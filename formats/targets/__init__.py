"""The formats, one file a family. `trained` says what a reader trains on by its own rules, read from the written row
alone: it is compared with the factory's own targets in every exported row."""
