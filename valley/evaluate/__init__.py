"""Generation, grading and scores; knows nothing of plans and clusters."""
