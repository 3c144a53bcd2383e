"""For the tests of plugin and operator authors: a cluster as a fixture, and one contract suite per seam."""
