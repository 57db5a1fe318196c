"""Writing an export: parts, the folder, manifest, audit and card."""
