"""In a checkout that is not installed, ``python -m pytest`` has the plug-in all the same."""

pytest_plugins = ["hqp.plugin"]
