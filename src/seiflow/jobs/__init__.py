"""The jobs of the pipeline: read files, call one function, write files. The command line and the rules meet here."""
