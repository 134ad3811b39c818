"""The search service: an HTTP API over the version of the catalog that is served, and its page."""
