"""What a visitor can do on the page, one file each: its components and their events."""
