"""A bundle's server: llama.cpp with base and adapter, its prompts proved, and the front that clients see."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from byheart.export.llama_cpp import LlamaCpp
from byheart.export.request import Listener
from byheart.serving.address import Address
from byheart.serving.front import Answered, Front, Service
from byheart.serving.known import KnownPrompts
from byheart.serving.prepared import Prepared


class BundleServer:
    """Answers within a ``with`` block. Requests are answered one at a time, each from nothing but itself, so that no
    answer depends on who else asks; those that wait are answered in turn.

    Args:
        prepared: what is served.
        address: where.
        listener: told what happens until it answers.
        num_threads: of the processor.
        on_answer: told of every request, from the thread that answered it.

    Example:
        >>> with BundleServer(prepared, Address(), listener) as server:     # doctest: +SKIP
        ...     OpenAI(base_url=f"{server.url}/v1", api_key="-").models.list()
    """

    def __init__(
        self,
        prepared: Prepared,
        address: Address,
        listener: Listener,
        *,
        num_threads: int = 1,
        on_answer: Callable[[Answered], None] = lambda _: None,
    ) -> None:
        self._prepared, self._address, self._listener = prepared, address, listener
        self._num_threads, self._on_answer = num_threads, on_answer
        self._stack = contextlib.ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        """Starts.

        Raises:
            ModelError: the engine cannot load the files.
            BundleError: a prompt has other ids there than those certified.
            ArtifactError: the address is taken.
        """
        prepared = self._prepared
        with contextlib.ExitStack() as stack:
            engine = stack.enter_context(
                LlamaCpp(
                    prepared.base.path,
                    prepared.adapter_gguf,
                    num_context_tokens=prepared.num_context_tokens,
                    num_threads=self._num_threads,
                    chat_template=prepared.chat_template,
                    name=prepared.name,
                )
            )
            with self._listener.phase("checking prompts", len(prepared.messages)) as advance:
                known = KnownPrompts.proved(engine, prepared, advance)
            service = Service(
                name=prepared.name,
                known=known,
                template_kwargs=prepared.template_kwargs,
                engine=engine.address,
                engine_key=engine.api_key,
                on_answer=self._on_answer,
            )
            front = Front(self._address, service)
            stack.callback(front.server_close)  # waits for the threads that answer
            try:
                front.server_activate()
            except OSError as error:
                raise self._address.cannot_listen(error) from error
            accepting = threading.Thread(target=front.serve_forever, args=(0.05,), name="byheart-serve")
            accepting.start()
            stack.callback(self._stop, front, accepting)
            self.url = front.url
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stops: no new connections, those there are ended, then the engine."""
        self._stack.close()

    @staticmethod
    def _stop(front: Front, accepting: threading.Thread) -> None:
        front.shutdown()
        accepting.join()
        front.hang_up()
