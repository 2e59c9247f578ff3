"""The next action of a study: choosers of what to probe and what to teach, and the phases around them."""
