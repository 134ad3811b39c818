"""One module per stage: `Params`, and `build` from artefacts to an artefact."""
