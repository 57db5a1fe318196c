"""Who writes the reflective thought of a calibrated trajectory: a template or a language model."""
