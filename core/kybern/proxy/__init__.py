"""Service proxying: turns Services and EndpointSlices into changes that a proxy mode turns into rules."""
