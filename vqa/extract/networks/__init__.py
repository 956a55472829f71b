"""Networks that no model library carries, written after their papers; weights come from elsewhere."""
