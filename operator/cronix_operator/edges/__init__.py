"""One foreign system per file. Edges speak core types, raise core errors only, and do not know each other."""
