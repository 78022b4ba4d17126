"""What a node knows of what it holds: leases, chunks, records, feeds, claims; pure logic over a tier."""
