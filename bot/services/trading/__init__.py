"""What is asked of the running bot about its desk: the queue, the sources, the positions and the limits."""
