"""`python -m mom_eval` is `mom-eval`."""

from mom_eval.cli import main

main(prog_name="mom-eval")
