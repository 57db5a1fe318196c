"""What the pages show, as JSON values: one file a page. Columns keep the names that the store gives them."""
