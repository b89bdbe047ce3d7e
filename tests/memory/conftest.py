import pytest

from byheart.errors import RecordsError
from byheart.memory.encode import encode
from byheart.memory.records import Memory


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads it back as a memory."""

    def read_(name: str, content: str | bytes, **settings) -> Memory:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Memory.from_file(path, **settings)

    return read_


@pytest.fixture
def refused(read, tmp_path):
    """The problems of a file, without the directory in front."""

    def refused_(name: str, content: str | bytes, **settings) -> list[str]:
        with pytest.raises(RecordsError) as caught:
            read(name, content, **settings)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return refused_


@pytest.fixture
def encode_problems():
    """The problems that encoding a memory meets."""

    def encode_problems_(memory: Memory, tokenizer, **arguments) -> list[str]:
        with pytest.raises(RecordsError) as caught:
            encode(memory, tokenizer, **arguments)
        return [str(problem) for problem in caught.value.problems]

    return encode_problems_
