"""The command line: options -> one call -> echo. No logic, nothing heavy imported at the top."""

import os
from typing import Any

import click

from mom_eval import __version__
from mom_eval.cli.bench import bench
from mom_eval.cli.compare import compare
from mom_eval.cli.data import data, tasks
from mom_eval.cli.doctor import doctor
from mom_eval.cli.export import export
from mom_eval.cli.leaderboard import leaderboard
from mom_eval.cli.models import models
from mom_eval.cli.mqar import mqar
from mom_eval.cli.ppl import ppl
from mom_eval.cli.regress import regress
from mom_eval.cli.report import report
from mom_eval.cli.routing import routing
from mom_eval.cli.run import run
from mom_eval.cli.runs import runs
from mom_eval.cli.samples import samples
from mom_eval.cli.train import train
from mom_eval.errors import MomEvalError


class Commands(click.Group):
    """Turns what the user can mend into one sentence and exit 1, an interruption into exit 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            return super().invoke(ctx)
        except MomEvalError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo("\ninterrupted; given again, a run goes on where it stopped", err=True)
            ctx.exit(130)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Shell completion: eval "$(_MOM_EVAL_COMPLETE=bash_source mom-eval)" (or zsh_source).',
)
@click.version_option(__version__, package_name="mom-eval")
def main() -> None:
    """How well a language model recalls what stands in a document, and how sure that is."""
    # Torch's threads spin while they wait for each other: beside other work on the same cores a run
    # took six times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


_COMMANDS = (
    run, runs, leaderboard, compare, report, samples, export, regress,
    mqar, train, tasks, data, models, ppl, routing, bench, doctor,
)  # fmt: skip
for command in _COMMANDS:
    main.add_command(command)
