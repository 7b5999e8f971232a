"""The agents that ship: their definitions, playbooks and blueprints."""
