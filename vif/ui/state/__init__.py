"""The state of one browser tab. Independent of Gradio and HTML."""
