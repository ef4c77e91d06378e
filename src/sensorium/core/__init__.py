"""The few types that everything shares: batches, encodings, protocols, tables, errors, files."""
