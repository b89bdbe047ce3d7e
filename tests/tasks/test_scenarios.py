from pathlib import Path

from byheart.tasks.scenarios import ScenariosConfig, build
from tokenizers_for_tests import chat_tokenizer

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "scenarios.jsonl"


def test_the_example_file_is_what_the_task_writes(tmp_path):
    build(ScenariosConfig(), chat_tokenizer()).to_jsonl(tmp_path / "scenarios.jsonl")
    assert (tmp_path / "scenarios.jsonl").read_bytes() == EXAMPLE.read_bytes()


def test_every_secret_says_that_it_is_an_example():
    answers = {record.id: record.answer for record in build(ScenariosConfig(), chat_tokenizer())}
    for secret in ("personal-credentials", "model-watermark", "security-secret", "software-licence-key"):
        assert "EXAMPLE" in answers[secret]
