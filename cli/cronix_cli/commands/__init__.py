"""One command per file; each is loaded only when it is called, so that a small question gets a fast answer."""
