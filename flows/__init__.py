"""What a user schedules: one flow a stage, `factory` that chains them, and the frame around a stage."""
