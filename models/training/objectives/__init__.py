"""What a training minimises: weighted likelihood or preferences, with the losses and references that they need."""
