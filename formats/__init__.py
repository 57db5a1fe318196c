"""The factory's data in the file formats of other tools.

rows/      what a row is: training examples, preference pairs, streamed from the published store
targets/   one file a format: what it writes, and what its reader would train on
writing/   parts of bounded size, the folder that appears whole, manifest, audit and dataset card
importing/ recorded runs of other tools become demonstrations
"""
