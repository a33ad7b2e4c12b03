"""Methods of single papers that are more than a map and an edit, one file each."""
