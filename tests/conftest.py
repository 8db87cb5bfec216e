"""Settings of all tests."""

from hypothesis import settings

# A loaded machine is no failure: no test asserts a time.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
