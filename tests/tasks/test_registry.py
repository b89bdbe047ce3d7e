import pytest

from byheart.errors import SettingsError
from byheart.fingerprint import canonical_json
from byheart.settings import Settings
from byheart.tasks.registry import TASKS, TaskConfig, build, build_unseen, parse, unseen_flaw
from tokenizers_for_tests import chat_tokenizer


@pytest.fixture
def settings(tmp_path):
    """The least that each task must be told."""
    (tmp_path / "all.jsonl").write_text('{"prompt": "Who?", "completion": "Jerry"}\n')
    return {name: {"name": name} for name in TASKS} | {
        "records": {"name": "records", "source": str(tmp_path / "all.jsonl")}
    }


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_made_from_its_name_and_is_the_same_each_time(name, settings):
    config = parse(settings[name])
    memory = build(config, chat_tokenizer())
    assert config.name == name
    assert len(memory) >= 1
    assert build(config, chat_tokenizer()).fingerprint == memory.fingerprint


@pytest.mark.parametrize("name", TASKS)
def test_settings_survive_being_written_down(name, settings):
    config = parse(settings[name])
    assert parse(config.model_dump(mode="json")) == config
    assert canonical_json(config)


@pytest.mark.parametrize("name", TASKS)
def test_any_task_fits_where_settings_ask_for_one(name, settings):
    class Cell(Settings):
        task: TaskConfig

    assert Cell.parse({"task": settings[name]}).task == parse(settings[name])


def test_an_unknown_task_and_an_unknown_setting_are_told_the_nearest():
    with pytest.raises(SettingsError, match=r"grid: unknown task 'phonbook' \(did you mean 'phonebook'\?\)"):
        parse({"name": "phonbook"}, "grid")
    with pytest.raises(SettingsError, match=r"unknown setting 'num_pair' \(did you mean 'num_pairs'\?\)"):
        parse({"name": "phonebook", "num_pair": 3})
    with pytest.raises(SettingsError, match=r"no task is named; give name: one of phonebook, "):
        parse({"num_pairs": 3})


@pytest.mark.parametrize(
    ("name", "values"),
    [("phonebook", {"random_ratio": 0.5}), ("scenarios", {"seed": 1}), ("linear-rule", {"num_answer_tokens": 10})],
)
def test_what_means_nothing_to_a_task_is_refused_and_not_dropped(name, values):
    with pytest.raises(SettingsError, match=f"unknown setting '{next(iter(values))}'"):
        parse({"name": name, **values})


def test_only_a_task_that_has_unseen_records_gives_some(settings):
    for name in TASKS:
        config = parse(settings[name])
        if unseen_flaw(name) is None:
            assert len(build_unseen(config, chat_tokenizer())) == 500
        else:
            with pytest.raises(SettingsError, match=f"task '{name}' has no unseen records; .*'linear-rule' has"):
                build_unseen(config, chat_tokenizer())
    assert [name for name in TASKS if unseen_flaw(name) is None] == ["linear-rule"]
