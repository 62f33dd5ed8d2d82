"""One line on each task for listings."""

from mom_eval.tasks.hub import HUB_IDS

PROMPTS = {
    "fda": "<document>. <Key>:",
    "swde": "<document>. <Key>:",
    "squad": "<context> <question>",
    "nq": "<context>. <question>",
    "triviaqa": "<context>. <question>",
    "drop": "<context>. <question>",
}


def describe(name: str) -> dict[str, str]:
    """How a task's prompt is built and where its data come from."""
    return {"prompt": PROMPTS[name], "hub": HUB_IDS[name]}
