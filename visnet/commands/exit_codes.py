"""How a command ends: what it says is printed, and what it refuses is one line on stderr and an exit code."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

from visnet.errors import NotReady
from visnet.pipeline import extras, os_faults
from visnet.pipeline.stage import STAGES

REFUSED, INTERRUPTED = 2, 130


class Commands(TyperGroup):
    """A group of commands that ends as a shell expects, whichever of them was called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take a stage's name alone for `run STAGE`, as scripts of before have it."""
        return super().resolve_command(ctx, ["run", *args] if args[:1] and args[0] in STAGES else args)

    def invoke(self, ctx: Any) -> int:
        """Run the command that was named, print what it returns, and return the exit code.

        2 for what the user can mend (said in one line), 130 when interrupted, 1 when the memory did not suffice, which
        another try may mend; 141, silently, when nobody reads on (`| head`). Handled here, since Typer would end with 1
        on a closed pipe and without a word on Ctrl-C.
        """
        try:
            if answer := super().invoke(ctx):
                print(answer)
            sys.stdout.flush()
        except TyperException as error:
            return misused(_called(ctx), error)
        except ValueError as error:  # Lance's are of the disk
            return refused(_called(ctx), (os_faults.explained(error) or str(error)) + _elsewhere(error))
        except BrokenPipeError:
            # Whatever is still to be flushed goes nowhere, or Python would complain of it at its very end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except MemoryError as error:  # its text and notes name the photo, where it was one
            why = "; ".join([str(error) or "out of memory", *getattr(error, "__notes__", [])])
            refused(_called(ctx), f"{why}; {os_faults.STAYS}; run it again with fewer other programs")
            return 1
        except ModuleNotFoundError as error:
            if (cure := extras.lacking(error)) is None:
                raise
            return refused(_called(ctx), cure)
        except Exception as error:  # of the operating system, whatever class a library gives it (safetensors' own)
            if (fault := os_faults.explained(error)) is None:
                raise
            return refused(_called(ctx), fault)
        except KeyboardInterrupt:
            print(f"{_called(ctx)}: interrupted; run it again to go on", file=sys.stderr)
            return INTERRUPTED
        return 0


def refused(command: str, why: str) -> int:
    """Say on stderr why a command did not do what it was asked, in one line; return the exit code."""
    print(f"{command}: {' '.join(why.split())}", file=sys.stderr)
    return REFUSED


def misused(command: str, error: TyperException) -> int:
    """Say which of the words that were typed is wrong, and where the right ones are listed; return the exit code."""
    why = error.format_message().rstrip(".").replace("Value error, ", "")
    return refused(command, f"{why} (see `{command} --help`)")


def _elsewhere(error: ValueError) -> str:
    """Say of what is not there that the folder may be the wrong one, where it is none in which the line runs."""
    follows = "--follow" in sys.argv  # an empty folder is where one who follows may begin
    if not isinstance(error, NotReady) or Path("dvc.yaml").exists() or follows:
        return ""
    return f"; {Path.cwd()} has no dvc.yaml: if the catalog is elsewhere, run this there"


def _called(ctx: Any) -> str:
    return f"{ctx.command_path} {ctx.invoked_subcommand or ''}".rstrip()
