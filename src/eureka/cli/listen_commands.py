"""transcribe, caption, ask and classify: their arguments, and the work on one file each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from eureka.cli.arguments import add_listening_options, label_list, probability, read_list
from eureka.cli.constraint import add_constraint_options
from eureka.errors import InvalidInputError

if TYPE_CHECKING:
    from eureka.cli.arguments import Commands
    from eureka.pipeline.listener import Listener
    from eureka.pipeline.options import ListenOptions
    from eureka.types import HearingResult, Pcm

    HearFile = Callable[[str, Iterable[Pcm]], HearingResult]
    """From a path and its decoded blocks to the result."""


def add_parsers(commands: Commands) -> None:
    """Add the four commands."""
    transcribe = commands.add_parser("transcribe", help="what is said", description="Write what is said.")
    transcribe.add_argument("files", nargs="*", metavar="FILE", help="audio files of any kind and length")
    transcribe.add_argument("--language", metavar="CODE", help="language of the audio, as a hint")
    _finish(transcribe, _transcribe)

    caption = commands.add_parser("caption", help="what is heard", description="Describe what is heard.")
    caption.add_argument("files", nargs="*", metavar="FILE", help="audio files of any kind and length")
    _finish(caption, _caption)

    ask = commands.add_parser("ask", help="a free question", description="Ask a question about each file.")
    ask.add_argument(
        "files", nargs="+", metavar="FILE... QUESTION", help="audio files, and last the question, in quotes"
    )
    add_constraint_options(ask)
    _finish(ask, _ask)

    classify = commands.add_parser(
        "classify",
        help="one of the given labels",
        description="Score a closed set of labels; a label's score counts all its tokens and its end.",
    )
    classify.add_argument("files", nargs="*", metavar="FILE", help="audio files")
    classify.add_argument("--labels", type=label_list, required=True, metavar="A,B,C", help="the closed set")
    classify.add_argument(
        "--abstain-below",
        type=probability,
        metavar="P",
        help="give no label where the model holds the best one, as its whole answer, for less probable",
    )
    _finish(classify, _classify)


def _finish(parser: argparse.ArgumentParser, make_hear: Callable[..., HearFile]) -> None:
    add_listening_options(parser)
    name = parser.prog.split()[-1]
    parser.set_defaults(run=_run, command=name, make_hear=make_hear)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "ask":
        arguments.question = arguments.files.pop()
    files = [*arguments.files, *read_list(arguments.files_from)]
    if not files:
        raise InvalidInputError("no file is given; name FILE... or --files-from LIST", reason="NO_FILES")
    from eureka.cli.listening import listen_to_files

    return listen_to_files(files, arguments)


def _transcribe(listener: Listener, options: ListenOptions, arguments: argparse.Namespace) -> HearFile:
    options = replace(options, language=arguments.language)
    return lambda path, blocks: listener.transcribe(path, blocks, options)


def _caption(listener: Listener, options: ListenOptions, arguments: argparse.Namespace) -> HearFile:
    return lambda path, blocks: listener.caption(path, blocks, options)


def _ask(listener: Listener, options: ListenOptions, arguments: argparse.Namespace) -> HearFile:
    return lambda path, blocks: listener.ask(path, [blocks], arguments.question, options)


def _classify(listener: Listener, options: ListenOptions, arguments: argparse.Namespace) -> HearFile:
    return lambda path, blocks: listener.classify(
        path, blocks, arguments.labels, arguments.abstain_below, options
    )
