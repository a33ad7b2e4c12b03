"""What one browser tab holds between two clicks. Knows nothing about Gradio or HTML."""
