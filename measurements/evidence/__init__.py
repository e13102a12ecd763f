"""Evidence that stands without trusting us: canonical JSON, the chain, bundles, and their verification."""
