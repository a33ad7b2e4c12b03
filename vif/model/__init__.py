"""A vision-language model: loading, token layout, attention seen and edited."""
