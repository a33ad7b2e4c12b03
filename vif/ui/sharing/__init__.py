"""What is shown, for others: a link, a command, a program, a saved file. Knows no Gradio."""
