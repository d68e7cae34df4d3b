"""Motion of a face, independent of whose face it is: tracked, authored, read from files, transferred."""
