"""Whether somebody speaks, by what the model's own caption says: the check of a transcript without words.

Levels and voice activity do not tell speech from rain, roosters or engines; the caption of a checkpoint does.
What the model takes for no speech at all, as a language that it never heard, this check does not find.
"""

from __future__ import annotations

import re

from eureka.errors import CancelledError, EurekaError
from eureka.pipeline.answers import Answerer, add_usage, seeded
from eureka.pipeline.options import ListenOptions
from eureka.pipeline.stretches import Stretch
from eureka.types import Ending, Instruction, SamplingParams, Task, TextRequest, Usage

CAPTION_TOKENS = 64
"""Length of the caption that is asked for; who speaks stands in the first dozens of tokens."""

_SPEAKING = re.compile(r"\b(speak\w*|speech|talk\w*|convers\w*|narrat\w*|dialogues?)\b", re.IGNORECASE)


def tells_of_speech(caption: str) -> bool:
    """Whether a caption says that somebody speaks: `man speaking`, `two women talk`."""
    return _SPEAKING.search(caption) is not None


class CaptionCheck:
    """Tells whether somebody speaks in stretches of one window, with one short caption a stretch at most.

    Args:
        answerer: asks for captions.
        options: of the call; greedy sampling whatever they say, so that runs agree.

    Attributes:
        usage: what the captions cost that were asked for here.
    """

    def __init__(self, answerer: Answerer, options: ListenOptions) -> None:
        self._answerer = answerer
        self._options = options
        self._known: dict[tuple[int, int], bool] = {}
        self.usage = Usage()

    def learn(self, start_sample: int, num_samples: int, caption: str) -> None:
        """Take the caption of a stretch that was heard for its own sake."""
        self._known[start_sample, num_samples] = tells_of_speech(caption)

    def __call__(self, stretch: Stretch) -> bool:
        """Whether the caption of the stretch tells of speech; a model without captions tells of none.

        Raises:
            CancelledError: the work was stopped.
            EurekaError: a part that serves is away (`is_retryable`).
        """
        place = stretch.start_sample, len(stretch.pcm)
        if place not in self._known:
            self._known[place] = tells_of_speech(self._caption(stretch))
        return self._known[place]

    def _caption(self, stretch: Stretch) -> str:
        options, sampling = self._options, SamplingParams(max_new_tokens=CAPTION_TOKENS)
        sampling = seeded(sampling, stretch.pcm, Task.CAPTION, 0)
        request = TextRequest(
            Instruction(Task.CAPTION), stretch.embeddings, sampling, options.deadline, options.priority
        )
        try:
            answer = self._answerer.answer(request)
        except EurekaError as error:
            if error.is_retryable or isinstance(error, CancelledError):
                raise
            return ""
        if answer.ending is Ending.CANCELLED:
            raise CancelledError("the decoder ended the request; nobody here asked for it")
        self.usage = add_usage(self.usage, answer.usage)
        return answer.text
