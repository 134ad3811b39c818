"""What a stage is, where its artefact lies, how it speaks, and how much memory it may take."""
