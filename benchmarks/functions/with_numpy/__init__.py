"""The empty app with numpy imported. For `start`."""
