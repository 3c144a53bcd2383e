"""What a Service is given by the server: cluster IPs and node ports that no other Service has."""
