"""Where problems and traces come from; one adapter a module."""
