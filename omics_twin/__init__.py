"""Patient digital twins from multi-omics cohorts. Importing this package does nothing."""
