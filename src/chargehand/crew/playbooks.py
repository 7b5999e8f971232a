"""The crew's playbooks, by name."""

from chargehand.runtimes.playbook import Playbook

PLAYBOOKS: dict[str, Playbook] = {}
