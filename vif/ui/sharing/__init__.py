"""A shown result as a link, a command, a program or a saved file. Independent of Gradio."""
