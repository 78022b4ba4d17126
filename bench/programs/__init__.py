"""What runs on the two sides of a link for peers that are libraries: `serve` sends until nobody listens any
more, `fetch` counts what comes for a time or up to a size and prints one line of JSON."""
