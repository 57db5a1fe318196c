"""What the page of each stage says of its rows: one function a stage, named as the stage."""
