"""What the client, the fake and the cassettes cost, as ratios to a floor and next to the peers.

Every figure is measured in a process of its own, contenders taking turns round by round, so a slow moment of the
machine meets all of them. A row says what is measured, what the floor is and which ratio is the goal.
"""
