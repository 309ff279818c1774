"""One module per DVC stage: read params.yaml, call the library, write artifacts. `python -m stages.NAME` runs one."""
