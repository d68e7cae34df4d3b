"""The page in the browser. Gradio is imported only by `mount.page_for`."""
