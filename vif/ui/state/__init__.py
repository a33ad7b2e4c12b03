"""The state of one browser tab. Does not know Gradio or HTML."""
