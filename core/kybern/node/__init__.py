"""The node agent (kubelet): sees the pods bound to its nodes and makes a container runtime run them."""
