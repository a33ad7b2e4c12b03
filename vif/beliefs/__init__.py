"""Where the answers that a model thinks likeliest depend on the image: prior and posterior."""
